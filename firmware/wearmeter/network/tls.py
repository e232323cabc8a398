"""TLS towards the broker: whom this device trusts, as whom it comes, and what it makes of a certificate's dates.

    sockets.secure = Tls(config, state, set_rtc, post, rest, waiting)       # certificates
    sockets.secure = Psk(config, post, rest, waiting)                       # a key of the unit's own

The broker's certificate must be signed by the CA in the config and carry the config's host name; there is no way to
switch that off. mbedTLS judges its dates by the chip's clock, which says 2000 after each power-on: every certificate
would then be "not yet valid", and without the relay there may never be a time. So the chip's clock is set to the time
if NTP has told it and the relay no other, and otherwise to the earliest moment that is possible: what this device or
this firmware is known to have lived through (see state/clock.py), or, after a first refusal, the moment the newest
certificate of the chain begins. A certificate that had expired before that moment is refused all the same; one that
expired since cannot be told from a good one.
"""

import io
import select
import time

import tls
from micropython import const

from wearmeter import BUILD_UTC_S
from wearmeter.state import events

_UTC_2000_S = 946684800
_HEAD_BYTES = const(5)
_POLL = const(3)
# A handshake's arithmetic holds up the tick: emulated, 1.25 s in all. It rests before each of the broker's records.
_RECORDS = const(9)
_REST_MS = const(5)
_MOST_RESTS = const(60)

# DER (X.690): where a certificate keeps its notBefore. Certificate and TBSCertificate are sequences; then come the
# version [0], the serial number, the signature's algorithm, the issuer, and the validity, a sequence of two times.
_VERSION = const(0xA0)
_UTC_TIME = const(0x17)
_FIELDS_BEFORE_VALIDITY = const(3)


class Unsupported(ValueError):
    """This MicroPython cannot do what the config asks for; the text says what can be done."""


class _Resting(io.IOBase):
    """Between mbedTLS and the socket: has nothing to read once before each record of the handshake, which brings
    mbedTLS back to Python; `due` says that this has happened."""

    def __init__(self, raw):
        self._raw = raw
        self._left = _RECORDS
        self._rested = False
        self._poller = select.poll()
        self._poller.register(raw, select.POLLIN)
        self.due = False

    def readinto(self, buffer):
        if self._left and len(buffer) == _HEAD_BYTES:  # mbedTLS asks for a record's head alone
            self._rested = not self._rested
            if self._rested:
                self._left -= 1
                self.due = True
                return None
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


class _Secure:
    """What both kinds have in common: the pause before each record, in which the tick saves what has run."""

    def __init__(self, config, post, rest, waiting):
        self._config = config
        self._post = post
        self._rest = rest
        self._waiting = waiting
        self._context = None
        self._resting = None

    def between_records(self):
        """Before a record is worked on, which nothing interrupts: the counts are saved first."""
        if self._resting and self._resting.due:
            self._resting.due = False
            self._post((events.SAVE,))
            for _ in range(_MOST_RESTS):
                if not self._waiting():
                    break
                self._rest(_REST_MS)

    def _wrap(self, raw):
        self._resting = _Resting(raw)
        return self._context.wrap_socket(
            self._resting, server_hostname=self._config.host, do_handshake_on_connect=False
        )


class Tls(_Secure):
    """`set_rtc(utc_s)` sets the chip's clock. Nothing is read before the first connection: a bad certificate then fails
    it, with a ValueError, and never makes it a plain one."""

    def __init__(self, config, state, set_rtc, post, rest, waiting):
        super().__init__(config, post, rest, waiting)
        self._state = state
        self._set_rtc = set_rtc
        self._begins_s = 0

    def wrap(self, raw):
        """Return the TLS stream over the connected socket `raw`; its handshake is done by the first write."""
        if self._context is None:
            self._open()
        clock = self._state.clock
        utc_s = clock.now() if clock.judges else max(self._state.numbers.floor_s, BUILD_UTC_S, self._begins_s)
        self._begins_s = 0
        self._set_rtc(utc_s)
        return self._wrap(raw)

    def _open(self):
        config = self._config
        if not config.ca:
            raise ValueError("the config has no CA")
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]
        context.load_verify_locations(config.ca)
        if config.client_cert:
            context.load_cert_chain(config.client_cert, config.client_key)
        context.verify_callback = self._note_beginning  # type: ignore[attr-defined]
        self._context = context

    def _note_beginning(self, certificate, depth):
        try:
            self._begins_s = max(self._begins_s, begins_s(bytes(certificate)))
        except (ValueError, IndexError):
            pass  # mbedTLS itself has judged the certificate; only the date is not learnt.
        return 0


class Psk(_Secure):
    """TLS with a key that only this unit and the broker have: no certificates, no dates. MicroPython 1.29 and newer."""

    def wrap(self, raw):
        """Return the TLS stream over the connected socket `raw`. Raises Unsupported."""
        if self._context is None:
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            if not hasattr(context, "psk_identity"):
                raise Unsupported("transport psk needs MicroPython 1.29 or newer")
            context.verify_mode = tls.CERT_NONE  # type: ignore[attr-defined]
            context.psk_identity = self._config.psk_identity
            context.psk_key = self._config.psk_key  # type: ignore[attr-defined]
            self._context = context
        return self._wrap(raw)


def begins_s(certificate):
    """Return the notBefore of a DER certificate in UTC seconds, 0 where it is of the last century or a time that is not
    a UTCTime. Raises ValueError or IndexError for what is no certificate."""
    at, _ = _open_value(certificate, 0)
    at, _ = _open_value(certificate, at)
    if certificate[at] == _VERSION:
        at = _after(certificate, at)
    for _ in range(_FIELDS_BEFORE_VALIDITY):
        at = _after(certificate, at)
    at, _ = _open_value(certificate, at)
    if certificate[at] != _UTC_TIME:
        return 0
    at, _ = _open_value(certificate, at)
    fields = [int(certificate[i : i + 2]) for i in range(at, at + 12, 2)]
    if fields[0] >= 50:
        return 0  # An older root says nothing that our own floor does not.
    fields[0] += 2000
    return time.mktime(tuple(fields + [0, 0, 0])) - time.mktime((2000, 1, 1, 0, 0, 0, 0, 0, 0)) + _UTC_2000_S


def _open_value(data, at):
    """Return where the value of the DER element at `at` begins and ends."""
    size = data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    return at, at + size


def _after(data, at):
    return _open_value(data, at)[1]
