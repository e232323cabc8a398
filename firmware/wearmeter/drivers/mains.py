"""A current-sense input that sees the mains waveform itself: a current transformer with a burden, biased to mid-range.

The RMS is taken over each tick of 100 ms, which is five whole cycles of 50 Hz and six of 60 Hz, at 1000 samples a
second from a timer of its own. All in ADC counts (12 bits: about 0.8 mV); `make calibrate` finds on_rms and off_rms.
What the RMS shows while the motor rests is noise: it is learnt, and taken off.
"""

from micropython import const

from wearmeter.drivers.window import WindowInput, thresholds

SAMPLE_MS = const(1)
_MOST = const(200)  # squares of 200 readings of 12 bits stay below 2^30: nothing is allocated
_LEAST = const(40)  # fewer, because something held the timer up: no judgement, the window is joined with the next
_MIDDLE = const(2048)


def options(fields):
    """`on_rms` and `off_rms` in ADC counts, 1 to 2047."""
    on, off = thresholds(fields, "on_rms", "off_rms", 2047)

    def open(board, signal, max_on_ms, ticks_ms, ticks_diff):
        made = MainsInput(board.analog_input(signal), on, off, max_on_ms, ticks_diff)
        made.timer = board.start_tick(SAMPLE_MS, made.take, 1)
        return made

    return open


class MainsInput(WindowInput):
    """`adc` has read_u16(); `take` is to be called each millisecond. `power` is the RMS."""

    def __init__(self, adc, on_rms, off_rms, max_on_ms, ticks_diff):
        super().__init__(on_rms, off_rms, max_on_ms, ticks_diff)
        self._adc = adc
        self._middle = _MIDDLE
        self._count = self._sum = self._squares = 0
        self.noise = 0  # mean square at rest
        self.timer = None
        self.take = self._take  # made once: binding a method allocates

    def _take(self, timer):
        if self._count < _MOST:
            off_middle = (self._adc.read_u16() >> 4) - self._middle
            self._sum += off_middle
            self._squares += off_middle * off_middle
            self._count += 1

    def _measure(self, gap_ms):
        count = self._count
        if count < _LEAST:
            return None
        mean = self._sum // count
        square = max(0, self._squares // count - mean * mean)
        self._middle += mean // 2
        self._count = self._sum = self._squares = 0
        if not self.meter.on and square < self._on * self._on:
            # A sixteenth of the way in each window; at least 1, so that it gets there.
            step = (square - self.noise) // 16
            self.noise += step if step else (square > self.noise) - (square < self.noise)
        return _root(max(0, square - self.noise))


def _root(square):
    root = 0
    bit = 1024
    while bit:
        if (root + bit) * (root + bit) <= square:
            root += bit
        bit >>= 1
    return root
