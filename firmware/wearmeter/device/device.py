"""One device: begins to count, goes online, and does one turn of the loop at a time.

device = wire_up(board, guard)   # see wire_up.py
device.begin()                   # the first tick: from here on it counts
device.go_online(link, Exchange) # later, once the network's modules are there
pause_ms = device.step()         # one turn of the loop
"""

from micropython import const

from wearmeter import VERSION
from wearmeter.device.tick import PERIOD_MS
from wearmeter.exchange import schedule, wire
from wearmeter.state import events, faults

# The longest turn of the loop is a name look-up (3 s), a connect (15 s) and a message (8 s), all bounded.
WATCHDOG_MS = const(90000)
_IDLE_MS = const(500)
_SOON_MS = const(50)


class Device:
    """One device, made by wire_up. Public for `make status`: `state`, `tick`, `link`, `guard`, `product`, `config`."""

    def __init__(self, board, product, state, tick, panel, attention, guard, clockwork, log):
        self._clockwork = clockwork
        self._log = log
        self._timer = self._watchdog = None
        self._fed = 0
        self._ntp = None
        self.board = board
        self.product = product
        self.config = None
        self.id = board.device_id()
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
            # The end of a traceback says what went wrong.
            state.faults.raise_(faults.CRASHED, guard.text.replace("\n", " ")[-faults.DETAIL_LENGTH :])

    def begin(self):
        """Begin to count: the first tick saves what has run since the inputs were first seen."""
        self.tick()
        self.attention.start_beat()
        self._timer = self.board.start_tick(PERIOD_MS, self.tick)
        self._watchdog = self.board.watchdog(WATCHDOG_MS)
        self._log(
            "wm boot version=%s epoch=%d reason=%s safe=%d sealed=%d"
            % (VERSION, self.state.numbers.epoch, self.board.reset_cause(), self.guard.safe, self.board.sealed())
        )

    def configure(self, config, crc):
        """The unit's config is there; `crc` is its CRC-32."""
        self.config = config
        self.id = config.device or self.id
        self.tick.post((events.CONFIGURED, crc, schedule.report_minute(self.id)))

    def has_no_config(self, why):
        """There is none that is good: it counts, and that is all."""
        self._log("wm %s" % why)
        self.tick.post((events.FAULT, faults.CONFIG_BAD, why))

    def go_online(self, link, make_exchange, ntp=None):
        """From now on the loop speaks over `link`; `make_exchange(state, post, link, make_about, ...)`."""
        diff = self._clockwork.ticks_diff
        self.exchange = make_exchange(self.state, self.tick.post, link, self._about, diff, self._log)
        link.on_message = self.exchange.receive
        link.on_refused = lambda: self.tick.post((events.REFUSED_MESSAGE,))
        self.link = link
        self._ntp = ntp

    def _about(self):
        return wire.about(self.product, self.config.serial, VERSION)

    def step(self):
        """One turn of the loop; returns how many milliseconds to rest until the next. Ctrl-C passes through."""
        # Fed only if the tick has proved alive since the last time: the watchdog guards both.
        if self.tick.count != self._fed:
            self._fed = self.tick.count
            self._watchdog.feed()
        pause_ms = self.guard.run("loop", self._turn, self._clockwork.ticks_ms())
        return _IDLE_MS if pause_ms is None else pause_ms

    def _settle(self, uptime_s):
        state, guard = self.state, self.guard
        if guard.settle(uptime_s):
            state.faults.set(faults.SAFE_MODE, False)
        if not guard.told and not state.faults.bits & faults.CRASHED:
            guard.tell()

    def _turn(self, now_ms):
        tick, guard = self.tick, self.guard
        guard.run("guard", self._settle, self.state.clock.uptime_s)
        link = self.link
        if link is None:
            return _IDLE_MS
        if self._ntp:
            guard.run("ntp", self._ntp.step, now_ms)
        if link.online and not tick.waiting:
            guard.run("exchange", self.exchange.step, now_ms)
        if tick.waiting and not link.online:
            return _SOON_MS  # What NTP has told judges the certificate of the connection that comes next.
        return guard.run("link", link.step, now_ms)

    def stop(self):
        """Stop the tick. What has run since the last save is lost, as at a power cut."""
        if self._timer:
            self._timer.deinit()
