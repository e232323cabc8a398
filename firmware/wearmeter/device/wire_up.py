"""Wires the rooms together: the one function that the firmware, its tests and the torture of tools/ share.

    device = wire_up(board, guard, clockwork)
    device.begin()

Counting needs the board, the product and the flash, and nothing else. The firmware imports this once, at the start, and
lets it go: see start.py.
"""

import os
import time
from binascii import crc32

from micropython import const

from wearmeter.device import unit_files
from wearmeter.device.device import Device
from wearmeter.device.early import begin
from wearmeter.device.tick import Tick
from wearmeter.device.unit import Config
from wearmeter.device.unit_files import NoProduct
from wearmeter.exchange import wire
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.panel.button import Button
from wearmeter.panel.light import Light
from wearmeter.panel.panel import Panel
from wearmeter.state import counts, events, faults
from wearmeter.state.clock import Clock
from wearmeter.state.state import LEDGER_BYTES, State

# Booting takes some seconds; more than this is no boot.
_MOST_BOOT_MS = const(20000)


def wire_up(board, guard, clockwork=time, log=print, root="", early=None):
    """Return the device on `board`, its files below the folder `root`, which goes on with what `early` has begun.

    `clockwork` is the module time, or a stand-in. Raises NoProduct where nobody knows what to count.
    """
    early = early or begin(board, clockwork, root)
    product, attention = early.product, early.attention
    flags = faults.Faults()
    clock = Clock(clockwork.ticks_ms, clockwork.ticks_diff)
    state = State(
        [part[0] for part in product.parts],
        clock,
        flags,
        Record(bytearray(counts.RECORD_BYTES + FRAME_BYTES), counts.NAME, board.backup("counts"), root + "/state"),
        Record(bytearray(LEDGER_BYTES), "ledger", board.backup("ledger"), root + "/state"),
        log,
    )
    state.load(lambda: crc32(os.urandom(8)) % wire.MAX_ID + 1)
    panel = guard.run("panel", _panel, (state, board, product, clockwork))
    tick = Tick(
        state,
        early.inputs,
        panel,
        attention,
        clockwork.ticks_ms,
        clockwork.ticks_us,
        clockwork.ticks_diff,
        guard.run,
    )
    early.stop()
    for at, item in enumerate(early.inputs):
        ran_ms = early.ran_ms[at]
        if product.powered_with_motor:  # One switch powers motor and board: the motor has run as long as the chip.
            ran_ms += min(early.since_ms[at], _MOST_BOOT_MS)
        for place in item[1]:
            state.ran(place, ran_ms)
    return Device(board, product, state, tick, panel, attention, guard, clockwork, log)


def _panel(arguments):
    state, board, product, clockwork = arguments
    return Panel(state, _buttons(board, product, clockwork), _light(board, product))


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
    backup = device.board.backup
    try:
        fields, crc = unit_files.load("config", backup("config"), root)
        device.configure(Config(fields), crc)
    except NoProduct as error:
        device.has_no_config(str(error))
    for name in ("product", "config") if device.config else ("product",):
        if unit_files.check(name, backup(name), root):
            device.tick.post((events.FAULT, faults.CONFIG_BAD, "a copy of the %s was damaged" % name))
