"""What a product is: its inputs and consumables. Data of the maker's, in /product.json, not code.

A consumable's `id` is its identity on the wire, its place that in the ledger: append new ones, with a higher id.
Limits are Amazon's where it has any (six named attributes of up to 256 characters, instance and friendly names).
"""

from wearmeter.checked import Fields

DRIVERS = ("level", "current", "mains", "tachometer")


def _driver(name):
    return __import__("wearmeter.drivers." + name, None, None, ("options",))


class Input:
    """One run-time input: `name`, `signal` (a name in the board's PINS) and `open` of its driver, see drivers/."""

    def __init__(self, fields, signals):
        self.name = fields.text("name", 1, 16)
        driver = fields.choice("driver", DRIVERS)
        self.signal = fields.choice("signal", signals)
        self.open = _driver(driver).options(fields)
        if fields.has("wear") and driver != "level":
            self.open = _driver("wear").options(fields, self.open)
        fields.done()


class Part:
    """One consumable as the product describes it."""

    def __init__(self, fields, signals, input_names):
        self.id = fields.whole("id", 1, 255)
        self.instance = fields.text("instance", 1, 64)
        self.input = fields.choice("input", input_names)
        # Without a button, a replacement can only come from the relay.
        self.button_signal = None
        if fields.has("button"):
            button = fields.object("button")
            self.button_signal = button.choice("signal", signals)
            self.button_active = button.choice("active", (0, 1), 0)
            button.done()
        self.rated_life_h = fields.whole("rated_life_h", 1, 100000)
        self.replenishment_id = fields.text("replenishment_id", 1, 128, None)
        self.names = fields.texts("names", 1, 128)
        fields.done()


class Product:
    """A product read from the JSON object `data`; `where` names it in errors, `signals` are those of the board.

    Raises checked.FileError.
    """

    def __init__(self, data, where, signals):
        signals = sorted(signals)
        fields = Fields(data, where)
        fields.choice("schema", (1,))
        self.model = fields.text("model", 1, 64)
        self.manufacturer = fields.text("manufacturer", 1, 64)
        self.description = fields.text("description", 1, 128)
        self.max_on_ms = fields.whole("max_on_h", 1, 24, 6) * 3600000
        led = fields.object("led")
        self.led_signal = led.choice("signal", signals)
        # An LED on a pin, lit at level `active`; or a NeoPixel that lights in `color`.
        self.led_color = None
        if led.has("color"):
            color = led.object("color")
            self.led_color = [color.whole(part, 0, 255) for part in ("red", "green", "blue")]
            color.done()
        self.led_active = led.choice("active", (0, 1), 1)
        led.done()
        self.inputs = [Input(part, signals) for part in fields.items("inputs", 1, 8)]
        names = [part.name for part in self.inputs]
        _distinct(fields, "inputs", names)
        self.consumables = [Part(part, signals, names) for part in fields.items("consumables", 1, 8)]
        ids = [part.id for part in self.consumables]
        if sorted(set(ids)) != ids:
            fields.fail("consumables", "each id higher than the one before")
        _distinct(fields, "consumables", [part.instance for part in self.consumables])
        signals = [part.signal for part in self.inputs]
        signals += [part.button_signal for part in self.consumables if part.button_signal]
        _distinct(fields, "led", signals + [self.led_signal])
        fields.done()


def _distinct(fields, key, names):
    if len(set(names)) != len(names):
        fields.fail(key, "each name, instance and signal only once")
