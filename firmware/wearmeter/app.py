"""Wires the rooms together and runs the loop.

    app = App(board, crashes)
    app.start(make_link)
    error = app.run()

The tick begins before anything touches the network: counting needs only the board, the product and the flash.
"""

import os
import time
from binascii import crc32

from micropython import const

from wearmeter import VERSION, checked, config, faults, last_good, ledger, outbox, product, reporter, schedule, wire
from wearmeter.clock import Clock
from wearmeter.drivers import button, led
from wearmeter.store import Store
from wearmeter.tick import PERIOD_MS, Tick

# The longest turn of the loop is a look-up and NTP (4 s), a message (8 s) and a connect (15 s), all bounded; and the
# pause after an error in safe mode.
WATCHDOG_MS = const(90000)
_NTP_PAUSE_S = const(300)
_IDLE_MS = const(1000)
_SAFE_PAUSE_MS = const(60000)


def log(text):
    """Print a line for `make monitor`: `wm`, a word, and key=value pairs."""
    print(text)


class App:
    """One device. `board` is the board's module, `crashes` what start.py remembers of earlier ones.

    Raises checked.FileError if there neither is nor ever was a usable product file: then nobody knows what to count.
    """

    def __init__(self, board, crashes, log=log):
        self.board = board
        self._crashes = crashes
        self._log = log
        self._ntp_s = -_NTP_PAUSE_S
        self._fed = -1
        self._timer = self._error = None
        self.safe = crashes.many
        self.faults = faults.Faults()
        self.product = self._load("product", lambda data, where: product.Product(data, where, board.PINS))
        self.config = None
        try:
            self.config = self._load("config", config.Config)
        except checked.FileError as error:
            self._file_is_bad(error)
        if self.safe:
            self.faults.raise_(faults.SAFE_MODE)
        if not crashes.told:
            self.faults.raise_(faults.CRASHED, crashes.text.replace("\n", " ")[-79:])
        self.clock = Clock(time.ticks_diff)
        self.device_id = self.config.device if self.config and self.config.device else board.device_id()
        self._open_ledger("/state")
        self._open_outbox("/state")
        self._make_tick()
        self.link = None
        self.reporter = None

    def _load(self, name, make):
        made, bad = last_good.load("/" + name + ".json", self.board.second_home(name), make)
        if bad:
            self._file_is_bad(bad)
        return made

    def _file_is_bad(self, why):
        self._log("wm bad_file %s" % why)
        self.faults.raise_(faults.CONFIG_BAD, str(why))

    def _open_ledger(self, state):
        self.ledger = ledger.Ledger(len(self.product.consumables))
        self.store = Store(state + "/ledger", self.board.second_home())
        record = self.store.load(ledger.is_valid)
        if record is None:
            self.ledger.epoch = crc32(os.urandom(8)) % wire.MAX_ID + 1
            if self.store.damaged:
                self.faults.raise_(faults.LEDGER_LOST)
            self.ledger.dirty = True
        else:
            self.ledger.restore(record)
            if self.store.damaged or self.store.from_second_home:
                self.faults.raise_(faults.COPY_DAMAGED)

    def _open_outbox(self, state):
        parts = self.ledger.consumables
        self.outbox_store = Store(state + "/outbox")
        self.outbox = outbox.Outbox(self.outbox_store, len(parts))
        released = [part.generation - 1 if part.replacement else part.generation for part in parts]
        if not self.outbox.load(self.ledger.epoch, self.ledger.next_sequence, released):
            self.faults.raise_(faults.OUTBOX_LOST)
        if self.outbox.foreign:
            self.faults.raise_(faults.LEDGER_LOST)

    def _make_tick(self):
        board, parts = self.board, self.product.consumables
        inputs = []
        parts_of = []
        for source in self.product.inputs:
            inputs.append(source.open(board, source.signal, self.product.max_on_ms, time.ticks_ms, time.ticks_diff))
            parts_of.append(tuple([at for at, part in enumerate(parts) if part.input == source.name]))
        buttons: "list" = []
        for part in () if self.safe else parts:
            if part.button_signal is None:
                buttons.append(None)
                continue
            pull = "up" if part.button_active == 0 else "down"
            pin = board.level_input(part.button_signal, pull)
            buttons.append(button.Button(pin, part.button_active, time.ticks_diff))
        light = led.Led(self._light(), self.product.led_active)
        self.tick = Tick(
            self.ledger,
            self.store,
            self.clock,
            self.faults,
            inputs,
            parts_of,
            buttons,
            parts,
            light,
            time.ticks_ms,
            self._log,
        )
        self.outbox_store.hold = self.tick.hold
        for index, part in enumerate(self.ledger.consumables):
            if not part.replacement:
                self.tick.released[index] = part.generation
            else:
                self.tick.released[index] = self.outbox.released[index]
        self.tick.want_second_home = True

    def _light(self):
        product = self.product
        if product.led_color is None or self.safe:
            return self.board.output(product.led_signal)
        from wearmeter.drivers.pixel import Pixel

        return Pixel(self.board.pixel(product.led_signal), product.led_color)

    def start(self, make_link):
        """Begin to count; then make the link by `make_link(app)`, where there is a config, and who speaks over it.

        The first tick runs here: a motor that runs already counts from now, and a first ledger is in flash before
        anything can be sent.
        """
        self.tick()
        self._timer = self.board.start_tick(PERIOD_MS, self._on_tick)
        self._watchdog = self.board.watchdog(WATCHDOG_MS)
        self._log(
            "wm boot version=%s device=%s epoch=%d reason=%s"
            % (VERSION, self.device_id, self.ledger.epoch, self.board.reset_cause())
        )
        serial = ""
        if self.config:
            serial = self.config.serial
            try:
                self.link = make_link(self)
            except Exception as error:
                if not self.safe:
                    raise
                self._log("wm error=%r" % error)
        self.reporter = reporter.Reporter(
            self.ledger,
            self.outbox,
            self.clock,
            self.faults,
            self.tick,
            self.link,
            wire.about(self.product, serial, VERSION),
            schedule.report_minute(self.device_id),
            time.ticks_ms,
            time.ticks_diff,
            self._log,
        )
        self.reporter.ids = [part.id for part in self.product.consumables]

    def step(self):
        """One turn of the loop; returns how many milliseconds to pause."""
        # Fed only if the tick has proved alive since the last time: the watchdog guards both.
        if self.tick.count != self._fed:
            self._fed = self.tick.count
            self._watchdog.feed()
        self._crashes.settle(not self.faults.bits & faults.CRASHED, self.clock.uptime_s)
        now_ms = time.ticks_ms()
        if not self.safe:
            self._ask_ntp()
        self.reporter.step(now_ms)
        return _IDLE_MS if self.link is None else self.link.step(now_ms)

    def run(self):
        """The loop, until an error that nobody else deals with; returns or raises it."""
        while self._error is None:
            try:
                pause_ms = self.step()
            except Exception as error:
                if not self.safe:
                    raise
                self._log("wm error=%r" % error)
                if self.link:
                    self.link.stop()
                pause_ms = _SAFE_PAUSE_MS
            time.sleep_ms(pause_ms)
        return self._error

    def stop(self):
        """Stop the tick. What has run since the last save is lost, as at a power cut."""
        if self._timer:
            self._timer.deinit()

    def _on_tick(self, timer):
        try:
            self.tick()
        except BaseException as error:  # also a Ctrl-C that strikes here: nobody above would hear of it
            self._error = error

    def _ask_ntp(self):
        if self.clock.known or not self.config or not self.config.ntp_host or not self.link.has_wifi:
            return
        if self.clock.uptime_s - self._ntp_s < _NTP_PAUSE_S:
            return
        self._ntp_s = self.clock.uptime_s
        try:
            address = self.link.look_up(self.config.ntp_host)
            self.tick.hold(2)
            utc_s = self.board.sync_ntp(address)
        except (OSError, OverflowError, ValueError) as error:
            self._log("wm ntp error=%s" % repr(error).replace(" ", ""))
            return
        finally:
            self.tick.hold(1)
        self.reporter.set_time(utc_s)
