"""TLS towards the broker: whom this device trusts, as whom it comes, and what it makes of a certificate's dates.

    sockets.secure = Trust(config, clock, ledger, board.set_rtc, tick.hold).wrap

The broker's certificate must be signed by the CA in the config's file and carry the config's host name; there is no way
to switch that off. mbedTLS judges its dates by the chip's clock, which says 2000 after each power-on: every certificate
would then be "not yet valid", and without the relay there may never be a time. So while the time is unknown the chip's
clock is set to the earliest moment that is possible: the latest this device or this firmware is known to have lived
through, or, after a first refusal, the moment the newest certificate of the chain begins. A certificate that had
expired before that moment is refused all the same; one that expired since cannot be told from a good one.
"""

import io
import select
import time

import tls
from micropython import const

from wearmeter import BUILD_UTC_S

_UTC_2000_S = 946684800
_MARK = b"\x17\x0d"  # DER: UTCTime of 13 characters; the first in a certificate is its notBefore


# A handshake's arithmetic holds up the tick: emulated, 1.25 s in all. It rests before each of the broker's records.
_RECORDS = const(9)
_HEAD_BYTES = const(5)
_POLL = const(3)


class _Resting(io.IOBase):
    """Between mbedTLS and the socket: has nothing to read once before each record of the handshake. That brings mbedTLS
    back to Python, where the tick has its turn; and that saves what ran so far. `hold()` is told before each."""

    def __init__(self, raw, ledger, hold):
        self._raw = raw
        self._ledger = ledger
        self._hold = hold
        self._left = _RECORDS
        self._rested = False
        self._poller = select.poll()
        self._poller.register(raw, select.POLLIN)

    def readinto(self, buffer):
        if self._left and len(buffer) == _HEAD_BYTES:  # mbedTLS asks for a record's head alone
            self._rested = not self._rested
            if self._rested:
                self._left -= 1
                self._ledger.dirty = True
                return None
            self._hold()
        return self._do(self._raw.readinto, buffer)

    def write(self, data):
        return self._do(self._raw.write, data)

    def _do(self, action, data):
        try:
            return action(data)
        except OSError as error:
            return -error.errno

    def ioctl(self, request, argument):
        if request != _POLL:
            return 0  # whoever made the socket closes it
        self._poller.modify(self._raw, argument)
        for _, flags in self._poller.poll(0):
            return flags
        return 0


class Trust:
    """`set_rtc(utc_s)` sets the chip's clock. Nothing is read before the first connection: a missing or damaged file
    then fails it, with a ValueError, and never makes it a plain one."""

    def __init__(self, config, clock, ledger, set_rtc, hold):
        self._config = config
        self._clock = clock
        self._ledger = ledger
        self._set_rtc = set_rtc
        self._hold = hold
        self._context = None
        self._begins_s = 0

    def wrap(self, raw):
        """Return the TLS stream over the connected socket `raw`; its handshake is done by the first write."""
        if self._context is None:
            self._open()
        utc_s = self._clock.now() or max(self._ledger.utc_floor_s, BUILD_UTC_S, self._begins_s)
        self._begins_s = 0
        self._set_rtc(utc_s)
        return self._context.wrap_socket(
            _Resting(raw, self._ledger, self._hold), server_hostname=self._config.host, do_handshake_on_connect=False
        )

    def _open(self):
        config = self._config
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]
        context.load_verify_locations(_read(config.ca_path))
        if config.client_cert:
            context.load_cert_chain(_read(config.client_cert), _read(config.client_key))
        context.verify_callback = self._note_beginning  # type: ignore[attr-defined]
        self._context = context

    def _note_beginning(self, certificate, depth):
        data = bytes(certificate)
        at = data.find(_MARK) + 2
        try:
            fields = [int(data[i : i + 2]) for i in range(at, at + 12, 2)]
        except ValueError:
            return 0
        if fields[0] < 50:  # of this century; an older root says nothing that our own floor does not
            fields[0] += 2000
            begins_s = time.mktime(tuple(fields + [0, 0])) - time.mktime((2000, 1, 1, 0, 0, 0, 0, 0)) + _UTC_2000_S
            self._begins_s = max(self._begins_s, begins_s)
        return 0


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        raise ValueError(path)
