"""`ntptime` as on the ESP32, answered by the world: it may be unreachable, and it may lie."""

import errno
import socket as _socket
import world as _world
from time import gmtime

_the = _world.the

host = "pool.ntp.org"
timeout = 1

_FROM_1970_TO_2000_S = 946_684_800


def time():
    """Seconds since 2000-01-01. Raises OSError: no network, or no answer within `timeout` seconds."""
    _the.look()
    _look_up(host)
    if not _socket._station_up():
        raise OSError(errno.EHOSTUNREACH)
    if not _the.ntp or _the.wifi != "up":
        _socket._pass(timeout * 1_000_000)
        raise OSError(errno.ETIMEDOUT)
    _the.advance(_the.now_us + 40_000)
    return (_the.utc_ms() + _the.ntp_error_ms) // 1000 - _FROM_1970_TO_2000_S


def _look_up(name):
    """Time servers stand in the public DNS: any name is found while the internet is. An address needs no look-up."""
    if _socket._is_ip(name):
        return
    if not _socket._station_up():
        raise OSError(-202)
    if _the.wifi == "no_internet":
        _the.block(14_000_000)
        raise OSError(-202)
    _the.block(30_000)


def settime():
    import machine

    fields = gmtime(time())
    machine.RTC().datetime((fields[0], fields[1], fields[2], fields[6] + 1, fields[3], fields[4], fields[5], 0))
