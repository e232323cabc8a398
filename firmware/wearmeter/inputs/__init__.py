"""Run-time inputs: what turns a pin into milliseconds of running time.

An input has `sample(now_us, late_us)`, called in each tick, which returns the whole milliseconds that count since the
last call; `on`, `stuck` and `noisy`; and `power`, how hard the motor runs in the driver's own unit, for weights.
`late_us` is by how much the tick was held up, -1 where callbacks of edges may have been lost since the last one. Only
the drivers that a product names are imported.
"""
