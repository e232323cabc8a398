"""A current-sense input: an analog signal that follows the motor's RMS current (a rectified current transformer).

`on` and `off` are readings of `read_u16`, 0 to 65535.
"""


def measure_current(board, signal):
    """Return `measure()` of a signal."""
    return board.analog_input(signal).read_u16
