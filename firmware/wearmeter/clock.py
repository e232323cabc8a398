"""The only one who knows what time it is, and whether that is known.

    clock = Clock(time.ticks_diff)
    clock.tick(time.ticks_ms())        # ten times a second, or at least every six days
    if clock.set(utc_s): ...           # from NTP or the relay; False: impossible, refused
    utc_s = clock.now()                # UTC seconds since 1970, or None

After each boot the time is unknown. `uptime_s` always goes on, whatever happens to the time.
"""

from wearmeter import BUILD_UTC_S

# 2100-01-01T00:00:00Z
_END_UTC_S = 4102444800


def plausible(utc_s):
    """Whether a time is after this firmware was built and before the year 2100."""
    return isinstance(utc_s, int) and BUILD_UTC_S <= utc_s < _END_UTC_S


class Clock:
    """Seconds since boot from `ticks_ms` (which wraps), and the UTC moment of the boot once a source has told it."""

    def __init__(self, ticks_diff):
        self._ticks_diff = ticks_diff
        self._last_ms = None
        self._rest_ms = 0
        self._boot_utc_s = None
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

    def since_ms(self, now_ms):
        """Milliseconds from the last tick to `now_ms`."""
        return self._ticks_diff(now_ms, self._last_ms)

    @property
    def known(self):
        return self._boot_utc_s is not None

    @property
    def boot_utc_s(self):
        """The UTC second of this boot, or None."""
        return self._boot_utc_s

    def now(self):
        """UTC seconds since 1970, or None while unknown."""
        return None if self._boot_utc_s is None else self._boot_utc_s + self.uptime_s

    def set(self, utc_s):
        """A source says that it is now `utc_s`. Returns False, and changes nothing, for an impossible time."""
        if not plausible(utc_s):
            return False
        self._boot_utc_s = utc_s - self.uptime_s
        return True
