"""Wires the rooms together: the one function that the firmware, its tests and the torture of tools/ share.

    device = wire_up(board, guard, clockwork)
    device.begin()

Counting needs the board, the product and the flash, and nothing else. The firmware imports this once, at the start, and
lets it go: see run.py.
"""

import os
import time
from binascii import crc32

from wearmeter.device import unit_files
from wearmeter.device.attention import Attention
from wearmeter.device.device import Device, NoProduct
from wearmeter.device.tick import Tick
from wearmeter.exchange import wire
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.inputs.level import LevelInput
from wearmeter.panel.button import Button
from wearmeter.panel.light import Light
from wearmeter.panel.panel import Panel
from wearmeter.state import counts, events, faults
from wearmeter.state.clock import Clock
from wearmeter.state.state import LEDGER_BYTES, State


def wire_up(board, guard, clockwork=time, log=print, root=""):
    """Return the device on `board`, its files below the folder `root`. `clockwork` is the module time, or a stand-in.

    Raises NoProduct where nobody knows what to count.
    """
    flags = faults.Faults()
    fields, damaged, _ = unit_files.load("product", board.backup("product"), root)
    product = unit_files.Product(fields)
    if damaged:
        flags.raise_(faults.CONFIG_BAD, "a copy of the product was damaged")
    clock = Clock(clockwork.ticks_ms, clockwork.ticks_diff)
    state = State(
        [part[0] for part in product.parts],
        clock,
        flags,
        Record(bytearray(counts.RECORD_BYTES + FRAME_BYTES), "counts", board.backup("counts"), root + "/state"),
        Record(bytearray(LEDGER_BYTES), "ledger", board.backup("ledger"), root + "/state"),
        log,
    )
    state.load(lambda: crc32(os.urandom(8)) % wire.MAX_ID + 1)
    attention = Attention(clockwork.sleep_ms, clockwork.ticks_us, clockwork.ticks_diff)
    inputs = _inputs(board, product, clockwork, attention)
    panel = Panel(state, _buttons(board, product, clockwork), _light(board, product))
    tick = Tick(
        state,
        inputs,
        panel,
        attention,
        clockwork.ticks_ms,
        clockwork.ticks_us,
        clockwork.ticks_diff,
        guard.run,
    )
    return Device(board, product, state, tick, panel, attention, guard, clockwork, log)


def _inputs(board, product, clockwork, attention):
    made = []
    for place, (driver, signal, on, off, bands) in enumerate(product.inputs):
        if driver == "level":
            pin = board.level_input(signal, "down" if on else "up")
            source = LevelInput(pin, on, product.max_on_ms, clockwork.ticks_us, clockwork.ticks_diff, attention.prompt)
        else:
            from wearmeter.inputs.drivers import make

            source = make(board, product.max_on_ms, clockwork, driver, signal, on, off)
        if bands:
            from wearmeter.inputs.weight import WeightedInput

            source = WeightedInput(source, bands)
        made.append((source, tuple([at for at, part in enumerate(product.parts) if part[1] == place])))
    return made


def _buttons(board, product, clockwork):
    made = []
    for identity, _, rated_h, signal, active in product.parts:
        if signal is not None:
            pin = board.level_input(signal, "down" if active else "up")
            made.append((identity, rated_h * 3600000, Button(pin, active, clockwork.ticks_diff)))
    return made


def _light(board, product):
    if product.led_color is None:
        return Light(board.output(product.led_signal), product.led_active)
    from wearmeter.panel.pixel import Pixel

    return Light(Pixel(board.pixel(product.led_signal), product.led_color), 1)


def configure(device, root=""):
    """Give the device its config, after it has begun to count: what it needs to go online. Without one it counts on."""
    try:
        fields, damaged, crc = unit_files.load("config", device.board.backup("config"), root)
    except NoProduct as error:
        return device.has_no_config(str(error))
    device.configure(unit_files.Config(fields), crc)
    if damaged:
        device.tick.post((events.FAULT, faults.CONFIG_BAD, "a copy of the config was damaged"))
