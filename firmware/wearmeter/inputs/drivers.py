"""Makes the inputs that not every product has: those looked at in each tick, and the one that the chip meters."""

from wearmeter.inputs.sampled import SampledInput


def make(board, max_on_ms, clockwork, driver, signal, on, off):
    """Return the input of a `driver` ("current", "mains", "tachometer", "hardware") on a board's signal."""
    ticks_us, ticks_diff = clockwork.ticks_us, clockwork.ticks_diff
    if driver == "hardware":
        from wearmeter.inputs.hardware import HardwareInput

        counter = board.gated_clock(signal, on)
        pin = board.level_input(signal, "down" if on else "up")
        return HardwareInput(counter, pin, on, max_on_ms, ticks_us, ticks_diff)
    since_last = False
    if driver == "mains":
        from wearmeter.inputs.mains import measure_mains

        measure = measure_mains(board, signal, on, off)
    elif driver == "tachometer":
        from wearmeter.inputs.tachometer import measure_tachometer

        measure, since_last = measure_tachometer(board, signal)
    else:
        from wearmeter.inputs.current import measure_current

        measure = measure_current(board, signal)
    return SampledInput(measure, on, off, max_on_ms, ticks_us, ticks_diff, since_last)
