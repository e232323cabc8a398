"""The only one who knows what time it is, and whether that is known.

    clock = Clock(time.ticks_ms, time.ticks_diff)
    clock.tick(time.ticks_ms())        # ten times a second, or at least every six days
    clock.learn(RELAY, utc_s)          # False: impossible, refused
    utc_s = clock.now()                # UTC seconds since 1970, or None

After each boot the time is unknown. `uptime_s` always goes on, whatever happens to the time. One source may be wrong:
what it says is used for the moments of reports, which the next word of the relay corrects; `sure` is only a time on
which two independent sources agree, or one that the relay has told consistently over days (see `floor_s`).
"""

from micropython import const

from wearmeter import BUILD_UTC_S

RELAY = const(1)
NTP = const(2)

_END_UTC_S = 4102444800  # 2100-01-01T00:00:00Z
# Two sources that differ by no more than this bear each other out.
_AGREE_S = const(3600)
# One source bears itself out where it has said the same over more than a day, and no longer than a season ago.
_DAY_S = const(86400)
_SEASON_S = const(8640000)


def plausible(utc_s):
    """Whether a time is after this firmware was built and before the year 2100."""
    return BUILD_UTC_S <= utc_s < _END_UTC_S


class Clock:
    """Seconds since boot from `ticks_ms` (which wraps), and the UTC moment of the boot once a source has told it."""

    def __init__(self, ticks_ms, ticks_diff):
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ms = None
        self._rest_ms = 0
        self._source = 0
        self._boots = [0, 0]  # the boot's UTC second by the relay and by NTP, 0 while not told
        self.boot_utc_s = None
        self.uptime_s = 0

    def tick(self, now_ms):
        """Advance to `now_ms` and return how many whole seconds have passed since the last call (mostly 0)."""
        if self._last_ms is None:
            self._last_ms = now_ms
            return 0
        passed_ms = self._ticks_diff(now_ms, self._last_ms)
        if passed_ms <= 0:
            return 0
        self._last_ms = now_ms
        self._rest_ms += passed_ms
        if self._rest_ms < 1000:
            return 0
        seconds = self._rest_ms // 1000
        self._rest_ms -= seconds * 1000
        self.uptime_s += seconds
        return seconds

    def since_ms(self):
        """Milliseconds since the latest tick began."""
        return self._ticks_diff(self._ticks_ms(), self._last_ms)

    @property
    def known(self):
        return self.boot_utc_s is not None

    @property
    def sure(self):
        """Whether the relay and NTP agree."""
        by_relay, by_ntp = self._boots
        return bool(by_relay and by_ntp) and abs(by_relay - by_ntp) <= _AGREE_S

    @property
    def judges(self):
        """Whether certificates are judged by this time: NTP has told it, and the relay has not told another.

        The relay's word alone comes over the very connection that is to be judged."""
        return bool(self._boots[1]) and (not self._boots[0] or self.sure)

    def now(self):
        """UTC seconds since 1970, or None while unknown."""
        return None if self.boot_utc_s is None else self.boot_utc_s + self.uptime_s

    def learn(self, source, utc_s):
        """`source` says that it is now `utc_s`. Returns False, and changes nothing, for an impossible time.

        The relay's word stands against NTP's: it is who reads our reports.
        """
        if not plausible(utc_s):
            return False
        self._boots[source - 1] = utc_s - self.uptime_s
        if source <= self._source or not self._source:
            self._source = source
            self.boot_utc_s = utc_s - self.uptime_s
        return True


def floor_s(floor, claim, now, sure):
    """Return the new (floor, claim): the earliest moment that it can be from now on, and the oldest word of one source.

    The floor judges certificates while the time is unknown, in every later boot, so one wrong word must not raise it.
    Two agreeing sources raise it at once. One source sets it, up or down, when it has told the same over more than a
    day: a time that goes on from `claim` as time does. What goes back before the claim, or far beyond it, begins a new
    claim and leaves the floor as it is.
    """
    if sure:
        return (now, now) if now - floor > _DAY_S or now < floor else (floor, claim)
    if not claim or not 0 <= now - claim <= _SEASON_S:
        return floor, now
    if now - claim > _DAY_S:
        return claim, now
    return floor, claim
