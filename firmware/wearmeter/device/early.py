"""Sees to the inputs while everything else is still being loaded: importing the rest takes most of a second.

    early = watch(board)        # from main.py: the inputs are watched from here on
    ...                         # imports; between them the timer looks at the inputs
    early.stop()                # wire_up.py takes over the inputs, and what they have counted

It needs the board and the product, is in the first bundle that is imported, and is let go after the start.
"""

import time

from wearmeter.device import unit_files
from wearmeter.device.attention import Attention
from wearmeter.device.unit import Product
from wearmeter.inputs.guarded import Guarded
from wearmeter.inputs.level import LevelInput

_PERIOD_MS = 100


def watch(board):
    """Begin to watch the motors, before the rest is imported; None where nobody knows which."""
    try:
        return begin(board)
    except unit_files.NoProduct:
        return None


def begin(board, clockwork=time, root=""):
    """Watch the inputs of the board's product. Raises unit_files.NoProduct where nobody knows what to count."""
    fields, _ = unit_files.load("product", board.backup("product"), root)
    early = Early(board, Product(fields), clockwork)
    early.start()
    return early


class Early:
    """`inputs` holds (input, places of the parts on it in the product), `ran_ms` what each has counted so far, and
    `since_ms` how long the chip had run when each was first seen, on: 0 where it was off."""

    def __init__(self, board, product, clockwork):
        self._board = board
        self._clockwork = clockwork
        self._ticks_us = clockwork.ticks_us
        self._timer = None
        self.product = product
        self.attention = Attention(clockwork.sleep_ms, clockwork.ticks_us, clockwork.ticks_diff)
        self.inputs = [
            (
                Guarded(item[1], self._make, item),
                tuple([at for at, part in enumerate(product.parts) if part[1] == place]),
            )
            for place, item in enumerate(product.inputs)
        ]
        self.ran_ms = [0] * len(self.inputs)
        self._tick()
        # ticks_ms begins at 0 with each reset.
        self.since_ms = [clockwork.ticks_ms() if item[0].on else 0 for item in self.inputs]

    def start(self):
        """From now on the timer looks at the inputs."""
        self.attention.start_beat()
        self._timer = self._board.start_tick(_PERIOD_MS, self._tick)

    def stop(self):
        """No more: whoever calls this looks at them now."""
        if self._timer:
            self._timer.deinit()

    def _tick(self, timer=None):
        now_us = self._ticks_us()
        late_us = self.attention.beat(now_us)
        for at, item in enumerate(self.inputs):
            self.ran_ms[at] += item[0].sample(now_us, late_us)
        self.attention.done(self._ticks_us())

    def _make(self, item):
        driver, signal, on, off, bands = item
        board, clockwork, max_on_ms = self._board, self._clockwork, self.product.max_on_ms
        source: "object"
        if driver == "level":
            pin = board.level_input(signal, "down" if on else "up")
            prompt = self.attention.prompt
            source = LevelInput(pin, on, max_on_ms, clockwork.ticks_us, clockwork.ticks_diff, prompt)
        else:
            from wearmeter.inputs.drivers import make

            source = make(board, max_on_ms, clockwork, driver, signal, on, off)
        if bands:
            from wearmeter.inputs.weight import WeightedInput

            source = WeightedInput(source, bands)
        return source
