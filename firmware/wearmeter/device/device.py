"""Wires the rooms together: the one function that the firmware, its tests and the torture of tools/ share.

    device = wire_up(board, guard, clockwork)
    device.begin()                   # the first tick: from here on it counts
    device.go_online(link)           # later, once the network's modules are there
    pause_ms = device.step()         # one turn of the loop

Counting needs the board, the product and the flash, and nothing else.
"""

import os
import time
from binascii import crc32

from micropython import const

from wearmeter import VERSION
from wearmeter.device import unit_files
from wearmeter.device.attention import Attention
from wearmeter.device.tick import PERIOD_MS, Tick
from wearmeter.exchange import schedule, wire
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.inputs.level import LevelInput
from wearmeter.panel.button import Button
from wearmeter.panel.light import Light
from wearmeter.panel.panel import Panel
from wearmeter.state import counts, events, faults
from wearmeter.state.clock import Clock
from wearmeter.state.state import LEDGER_BYTES, State

# The longest turn of the loop is a name look-up (3 s), a connect (15 s) and a message (8 s), all bounded.
WATCHDOG_MS = const(90000)
_IDLE_MS = const(500)


class Clockwork:
    """The module `time` as the device uses it; tests and torture bring their own."""

    ticks_ms = time.ticks_ms
    ticks_us = time.ticks_us
    ticks_diff = time.ticks_diff
    sleep_ms = time.sleep_ms


def wire_up(board, guard, clockwork=Clockwork, log=print):
    """Return the device on `board`. Raises unit_files.Missing where nobody knows what to count."""
    flags = faults.Faults()
    fields, damaged, _ = unit_files.load("product", board.backup("product"))
    product = unit_files.Product(fields)
    config, config_crc = None, 0
    try:
        fields, config_damaged, config_crc = unit_files.load("config", board.backup("config"))
        config = unit_files.Config(fields)
        damaged = damaged or config_damaged
    except unit_files.Missing as error:
        log("wm %s" % error)
        flags.raise_(faults.CONFIG_BAD, str(error))
    if damaged:
        flags.raise_(faults.CONFIG_BAD, "a copy of product or config was damaged")
    device_id = (config and config.device) or board.device_id()
    clock = Clock(clockwork.ticks_ms, clockwork.ticks_diff)
    state = State(
        [part[0] for part in product.parts],
        clock,
        flags,
        Record(bytearray(counts.RECORD_BYTES + FRAME_BYTES), "counts", board.backup("counts")),
        Record(bytearray(LEDGER_BYTES), "ledger", board.backup("ledger")),
        schedule.report_minute(device_id),
        config_crc,
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
    return Device(board, product, config, device_id, state, tick, panel, attention, guard, clockwork, log)


def _inputs(board, product, clockwork, attention):
    made = []
    for place, (driver, signal, on, off, bands) in enumerate(product.inputs):
        if driver == "level":
            pin = board.level_input(signal, "down" if on else "up")
            source = LevelInput(
                pin, on, product.max_on_ms, clockwork.ticks_us, clockwork.ticks_diff, attention.prompt
            )
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


class Device:
    """One device, made by wire_up. Public for `make status`: `state`, `tick`, `link`, `guard`, `product`, `config`."""

    def __init__(self, board, product, config, device_id, state, tick, panel, attention, guard, clockwork, log):
        self._clockwork = clockwork
        self._log = log
        self._timer = self._watchdog = None
        self._fed = 0
        self._ntp = None
        self.board = board
        self.product = product
        self.config = config
        self.id = device_id
        self.state = state
        self.tick = tick
        self.panel = panel
        self.attention = attention
        self.guard = guard
        self.link = None
        self.exchange = None
        if guard.safe:
            state.faults.raise_(faults.SAFE_MODE)
        if not guard.told:
            state.faults.raise_(faults.CRASHED, guard.text.replace("\n", " "))

    def begin(self):
        """Begin to count. A motor that runs already counts from now, and where the product says that one switch powers
        motor and board, since the chip's own clock began."""
        self.tick()
        if self.product.powered_with_motor:
            self._count_the_start()
        self._timer = self.board.start_tick(PERIOD_MS, self.tick)
        self._watchdog = self.board.watchdog(WATCHDOG_MS)
        self._log(
            "wm boot version=%s device=%s epoch=%d reason=%s safe=%d"
            % (VERSION, self.id, self.state.numbers.epoch, self.board.reset_cause(), self.guard.safe)
        )

    def _count_the_start(self):
        # ticks_ms begins at 0 with each reset: so long ago the motor ran at least as long as the chip.
        since_ms = self._clockwork.ticks_ms()
        for source, places in self.tick.inputs:
            if source.on:
                for place in places:
                    self.state.ran(place, min(since_ms, 60000))

    def go_online(self, link, make_exchange, ntp=None):
        """From now on the loop speaks over `link`; `make_exchange(state, post, link, about, ...)`."""
        about = wire.about(self.product, self.config.serial, VERSION)
        clockwork = self._clockwork
        self.exchange = make_exchange(
            self.state, self.tick.post, link, about, clockwork.ticks_ms, clockwork.ticks_diff, self._log
        )
        link.on_message = self.exchange.receive
        link.on_refused = lambda: self.tick.post((events.REFUSED_MESSAGE,))
        self.link = link
        self._ntp = ntp

    def step(self):
        """One turn of the loop; returns how many milliseconds to rest until the next. Ctrl-C passes through."""
        tick = self.tick
        # Fed only if the tick has proved alive since the last time: the watchdog guards both.
        if tick.count != self._fed:
            self._fed = tick.count
            self._watchdog.feed()
        state, guard = self.state, self.guard
        uptime_s = state.clock.uptime_s
        if guard.settle(uptime_s):
            state.faults.set(faults.SAFE_MODE, False)
        if not guard.told and not state.faults.bits & faults.CRASHED:
            guard.tell()
        link = self.link
        if link is None:
            return _IDLE_MS
        now_ms = self._clockwork.ticks_ms()
        if self._ntp:
            guard.run("ntp", self._ntp.step, now_ms)
        if link.online and not tick.waiting:
            guard.run("exchange", self.exchange.step, now_ms)
        pause_ms = guard.run("link", link.step, now_ms)
        return _IDLE_MS if pause_ms is None else pause_ms

    def stop(self):
        """Stop the tick. What has run since the last save is lost, as at a power cut."""
        if self._timer:
            self._timer.deinit()
