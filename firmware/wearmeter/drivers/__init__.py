"""The drivers know pins: run-time inputs, the buttons, the LED.

The module of an input has `options(fields)`, which checks the driver's own fields in a product file and returns
`open(board, signal, max_on_ms, ticks_ms, ticks_diff)`, which makes the input. An input has `sample(now_ms)`, called in
each tick, which returns the milliseconds that count since the last call, `meter`, and `noisy`. Only the drivers that a
product names are imported.
"""
