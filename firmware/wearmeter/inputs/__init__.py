"""Run-time inputs: what turns a pin into milliseconds of running time.

An input has `sample(now_us, sure)`, called in each tick, which returns the whole milliseconds that count since the last
call; `on`, `stuck` and `noisy`; and `power`, how hard the motor runs in the driver's own unit, for weights. `sure` is
False where callbacks may have been lost since the last tick. Only the drivers that a product names are imported.
"""
