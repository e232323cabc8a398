"""One NeoPixel (WS2812) as the status LED: it stands in for the pin of light.py."""


class Pixel:
    """`show((red, green, blue))` is the board's; `color` is what it lights in."""

    def __init__(self, show, color):
        self._show = show
        self._color = color

    def value(self, level):
        self._show(self._color if level else (0, 0, 0))
