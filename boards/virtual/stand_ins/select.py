"""`select` over the stand-in's sockets, in the world's time."""

import errno
import socket as _socket
import uselect as _pc
import world as _world

_the = _world.the
_MP_STREAM_POLL = 3
_TICK_US = 10_000  # of FreeRTOS

POLLIN, POLLOUT, POLLERR, POLLHUP = _pc.POLLIN, _pc.POLLOUT, _pc.POLLERR, _pc.POLLHUP


class _Poll:
    """Our own sockets are asked directly. Others (TLS streams over them) by the PC's poll, which asks them through the
    stream protocol, but takes a millisecond of real time for it."""

    def __init__(self):
        self.sockets = []  # [socket, event mask]
        self.others = None

    def register(self, stream, eventmask=POLLIN | POLLOUT):
        if not isinstance(stream, _socket.socket):
            if self.others is None:
                self.others = _pc.poll()
            return self.others.register(stream, eventmask)
        for entry in self.sockets:
            if entry[0] is stream:
                entry[1] = eventmask
                return
        self.sockets.append([stream, eventmask])

    def modify(self, stream, eventmask):
        if not isinstance(stream, _socket.socket):
            return self.others.modify(stream, eventmask)
        for entry in self.sockets:
            if entry[0] is stream:
                entry[1] = eventmask
                return
        raise OSError(errno.ENOENT)

    def unregister(self, stream):
        if not isinstance(stream, _socket.socket):
            return self.others.unregister(stream)
        self.sockets = [entry for entry in self.sockets if entry[0] is not stream]

    def _ready(self):
        ready = self.others.poll(0) if self.others else []
        for stream, mask in self.sockets:
            flags = stream.ioctl(_MP_STREAM_POLL, mask)
            if flags:
                ready.append((stream, flags))
        return ready

    def _soon(self):
        """Whether something may be ready before the next data from a real peer: then each tick of the system counts."""
        for stream, _ in self.sockets:
            if stream.letters or stream.state == "connecting":
                return True
        return _the.real

    def poll(self, timeout=-1, flags=0):
        end_us = None if timeout is None or timeout < 0 else _the.look() + timeout * 1000
        while True:
            ready = self._ready()
            if ready or (end_us is not None and _the.look() >= end_us):
                return ready
            step_us = _TICK_US if self._soon() else _world.PACE_STEP_US
            if end_us is not None:
                step_us = min(step_us, end_us - _the.now_us)
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
