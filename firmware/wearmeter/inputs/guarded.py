"""An input whose errors stay its own: one that fails counts nothing, and the others go on."""

from micropython import const

# After an error it is left alone for 3 s: longer than meter.MAX_GAP_US, so what ran meanwhile unseen is not counted.
_PAUSE_TICKS = const(30)


class Guarded:
    """The input that `make(argument)` returns, on a board's `signal`. It is made in its first sample.

    `error` is the exception that making it or its newest sample has raised, None where it went well.
    """

    def __init__(self, signal, make, argument):
        self._make = make
        self._argument = argument
        self._source = None
        self._pause = 0
        self.signal = signal
        self.error = None
        self.on = False
        self.stuck = False
        self.noisy = False

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds that count since the last call. Raises nothing."""
        if self._pause:
            self._pause -= 1
            return 0
        try:
            if self._source is None:
                self._source = self._make(self._argument)
                self._make = self._argument = None  # What only the start needs is let go.
            source = self._source
            ran_ms = source.sample(now_us, late_us)
            self.on = source.on
            self.stuck = source.stuck
            self.noisy = source.noisy
        except Exception as error:
            self._pause = _PAUSE_TICKS
            self.error = error
            self.on = self.stuck = self.noisy = False
            return 0
        self.error = None
        return ran_ms
