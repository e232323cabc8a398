"""Knows when the daily report is due: once in each period of 24 hours that begins at the device's own minute.

The minute of the day (UTC) is drawn from the device id, so that the reports of a fleet are spread evenly over the
day. A device that is off at its minute reports as soon as it is on and knows the time: one report a period, not two,
not none.
"""

from binascii import crc32

DAY_S = 86400
DAY_MINUTES = 1440


def report_minute(device_id):
    """The minute of the day, 0 to 1439 UTC, at which this device's period begins."""
    return (crc32(device_id.encode()) & 0xFFFFFFFF) % DAY_MINUTES


def period_of(utc_s, minute):
    """The number of the period that `utc_s` falls in: days since 1970, each beginning at `minute`."""
    return (utc_s - minute * 60) // DAY_S


def due(utc_s, minute, last_period):
    """Whether the report of the present period is still to be made; `last_period` is that of the last one made."""
    return period_of(utc_s, minute) > last_period
