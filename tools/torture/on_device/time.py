"""The time of the unit under torture, for the firmware that imports `time`: it moves only when the harness says so."""

_WRAP = 1 << 30

now_us = 0
zero_ms = 0  # where ticks_ms of this boot began


def ticks_ms():
    return (now_us // 1000 - zero_ms) & (_WRAP - 1)


def ticks_diff(later, earlier):
    return ((later - earlier + (_WRAP >> 1)) & (_WRAP - 1)) - (_WRAP >> 1)
