"""Looks up names by a DNS query of our own, without waiting in C.

The ESP32's own getaddrinfo takes no timeout and stops the tick for up to 14 s. So the server that DHCP named is asked
here; the last good answer is used again where a look-up fails.
"""

import os
import select

from micropython import const

from wearmeter.network.deadline import NO_NAME

_TRIES = const(3)
_LOOK_UP_MS = const(3000)


class Resolver:
    """`real` is the module socket, `poll` makes a poller as select.poll, `make_deadline()` a Deadline; `name_server()`
    returns the address of the DNS server, or "0.0.0.0"."""

    def __init__(self, real, poll, make_deadline, name_server):
        self._real = real
        self._poll = poll
        self._make_deadline = make_deadline
        self._name_server = name_server
        self._addresses = {}

    def look_up(self, host):
        """Return the IPv4 address of `host` as text, within 3 s. Raises OSError(-2)."""
        if host.replace(".", "").isdigit():
            return host
        server = self._name_server()
        if server == "0.0.0.0":
            raise OSError(NO_NAME)
        try:
            found = self._addresses[host] = self._ask(server, host)
        except (OSError, IndexError):
            found = self._addresses.get(host)
            if not found:
                raise OSError(NO_NAME)
        return found

    def _ask(self, server, host):
        question = os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0"  # one question, recursion desired
        for label in host.encode().split(b"."):
            question += bytes([len(label)]) + label
        question += b"\0\0\1\0\1"  # A, IN
        deadline = self._make_deadline()
        udp = self._real.socket(self._real.AF_INET, self._real.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            poller = self._poll()
            poller.register(udp, select.POLLIN)
            for _ in range(_TRIES):
                udp.sendto(question, (server, 53))
                deadline.begin(_LOOK_UP_MS // _TRIES)
                try:
                    while True:
                        deadline.wait_for(poller)
                        data, sender = udp.recvfrom(512)
                        if (
                            sender[0] == server
                            and data[:2] == question[:2]
                            and data[12 : len(question)] == question[12:]
                        ):
                            return _address(data, len(question))
                except OSError:
                    pass  # No answer in time: ask again.
        finally:
            udp.close()
        raise OSError(NO_NAME)


def _address(data, at):
    """The first IPv4 address in the records of a DNS answer from byte `at` on; IndexError if there is none."""
    while True:
        while 0 < data[at] < 192:
            at += data[at] + 1
        at += 2 if data[at] else 1
        size = data[at + 8] << 8 | data[at + 9]
        at += 10
        if data[at - 10 : at - 6] == b"\0\1\0\1" and size == 4:
            return "%d.%d.%d.%d" % (data[at], data[at + 1], data[at + 2], data[at + 3])
        at += size
