"""`time` as on the ESP32: the epoch is 2000-01-01, ticks wrap at 2**30."""

import world as _world

_PERIOD_MASK = (1 << 30) - 1
_HALF = 1 << 29
_the = _world.the
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def ticks_ms():
    return (_the.look() - _the.started_us + _the.ticks_start_us) // 1000 & _PERIOD_MASK


def ticks_us():
    return _the.look() - _the.started_us + _the.ticks_start_us & _PERIOD_MASK


def ticks_cpu():
    return ticks_us() * 240 & _PERIOD_MASK


def ticks_add(ticks, delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return ticks + delta & _PERIOD_MASK


def ticks_diff(end, start):
    return (end - start + _HALF & _PERIOD_MASK) - _HALF


def sleep_us(duration_us):
    if duration_us > 0:
        _the.sleep(duration_us)


def sleep_ms(duration_ms):
    _the.sleep(duration_ms * 1000 if duration_ms > 0 else 0)


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    _the.sleep(int(seconds * 1_000_000))


def _rtc_us():
    return _the.look() + _the.rtc_offset_us


def time():
    """Seconds since 2000-01-01, as the RTC has them: from power-on it counts from 0 until it is set."""
    return _rtc_us() // 1_000_000


def time_ns():
    return _rtc_us() * 1000


def _days(year, month, day):
    """Days from 2000-01-01."""
    years = year - 2000
    leap_days = (years + 3) // 4 - (years + 99) // 100 + (years + 399) // 400
    days = years * 365 + leap_days + _DAYS_BEFORE[month - 1] + day - 1
    if month > 2 and (year % 4 == 0 and year % 100 != 0 or year % 400 == 0):
        days += 1
    return days


def gmtime(seconds=None):
    if seconds is None:
        seconds = time()
    days, rest = divmod(int(seconds), 86400)
    year = 2000 + days * 400 // 146097
    while _days(year, 1, 1) > days:
        year -= 1
    while _days(year + 1, 1, 1) <= days:
        year += 1
    month = 12
    while _days(year, month, 1) > days:
        month -= 1
    return (
        year,
        month,
        days - _days(year, month, 1) + 1,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
        (days + 5) % 7,
        days - _days(year, 1, 1) + 1,
    )


localtime = gmtime


def mktime(fields):
    year, month, day, hour, minute, second = fields[:6]
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
