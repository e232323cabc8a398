"""`select` over the stand-in's sockets, in the world's time."""

import uselect as _pc
import world as _world

_the = _world.the

POLLIN, POLLOUT, POLLERR, POLLHUP = _pc.POLLIN, _pc.POLLOUT, _pc.POLLERR, _pc.POLLHUP


class _Poll:
    """Objects are asked through the stream protocol, so TLS streams over our sockets work, too."""

    def __init__(self):
        self.pc = _pc.poll()

    def register(self, stream, eventmask=POLLIN | POLLOUT):
        self.pc.register(stream, eventmask)

    def modify(self, stream, eventmask):
        self.pc.modify(stream, eventmask)

    def unregister(self, stream):
        self.pc.unregister(stream)

    def poll(self, timeout=-1, flags=0):
        end_us = None if timeout is None or timeout < 0 else _the.look() + timeout * 1000
        while True:
            ready = self.pc.poll(0)
            if ready or (end_us is not None and _the.look() >= end_us):
                return ready
            step_us = _world.PACE_STEP_US if end_us is None else min(_world.PACE_STEP_US, end_us - _the.now_us)
            if _the.real:
                step_us = min(step_us, 5000)
            _the.sleep(step_us)

    def ipoll(self, timeout=-1, flags=0):
        return iter(self.poll(timeout, flags))


def poll():
    return _Poll()


def select(readers, writers, errors, timeout=None):
    poller = _Poll()
    for stream in readers:
        poller.register(stream, POLLIN)
    for stream in writers:
        poller.register(stream, POLLOUT)
    ready = poller.poll(-1 if timeout is None else int(timeout * 1000))
    return (
        [stream for stream, flags in ready if flags & (POLLIN | POLLERR | POLLHUP) and stream in readers],
        [stream for stream, flags in ready if flags & POLLOUT and stream in writers],
        [],
    )
