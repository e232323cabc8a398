"""`tls` as on the ESP32: mbedTLS, for real, over the stand-in's sockets; boot.py puts it in that module's place.

What differs from the PC: certificates and keys may be PEM; a certificate's dates are judged by the RTC, which says 2000
after each power-on (the PC's own mbedTLS judges them by the PC's clock besides), and a handshake's arithmetic takes a
second: a third after each of the broker's certificate, its key and its done, and no callback runs in the midst of it,
nor until there is nothing to read. A wrong date is a ValueError with mbedTLS's words, as for any other fault of a
certificate.
"""

import binascii as _binascii
import io as _io
import time as _time
import tls as _pc
import world as _world

CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = _pc.CERT_NONE, _pc.CERT_OPTIONAL, _pc.CERT_REQUIRED
PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER = _pc.PROTOCOL_TLS_CLIENT, _pc.PROTOCOL_TLS_SERVER
MBEDTLS_VERSION = _pc.MBEDTLS_VERSION

_the = _world.the
_HANDSHAKE_MS = 1000
_HEAD_BYTES = 5  # of a record: mbedTLS asks for so many exactly when it has worked on the record before


def _ders(data):
    """What mbedTLS on the PC reads, from what it reads on the ESP32: one DER, or PEM with any number of blocks."""
    if b"-----BEGIN " not in data:
        return [data]
    found = []
    for block in data.split(b"-----BEGIN ")[1:]:
        body = block[block.find(b"-----") + 5 :]
        end = body.find(b"-----END ")
        if end < 0:
            raise ValueError("invalid cert")
        found.append(_binascii.a2b_base64(body[:end].replace(b"\n", b"").replace(b"\r", b"")))
    return found


def _moments(certificate):
    """notBefore and notAfter, as comparable text YYYYMMDDhhmmssZ."""
    found = []
    at = 0
    while len(found) < 2:
        short, long = certificate.find(b"\x17\x0d", at), certificate.find(b"\x18\x0f", at)
        if short >= 0 and (long < 0 or short < long):
            text = certificate[short + 2 : short + 15].decode()
            found.append(("20" if text < "50" else "19") + text)
            at = short + 15
        elif long >= 0:
            found.append(certificate[long + 2 : long + 17].decode())
            at = long + 17
        else:
            raise ValueError("no dates")
    return found


def _rtc():
    return "%04d%02d%02d%02d%02d%02dZ" % _time.gmtime(_time._rtc_us() // 1_000_000)[:6]


class _Computing(_io.IOBase):
    """Between mbedTLS and the socket: takes the time that the arithmetic takes on the chip."""

    def __init__(self, sock):
        self.sock = sock
        self.heads = 0
        self.at_head = False

    def readinto(self, buffer):
        if len(buffer) == _HEAD_BYTES and not self.at_head:
            self.heads += 1
            if 3 <= self.heads <= 5:
                _the.lock()
                _the.advance(_the.now_us + _the.session.get("tls_handshake_ms", _HANDSHAKE_MS) * 1000 // 3)
                _the.unlock_quietly()
        self.at_head = len(buffer) == _HEAD_BYTES
        _the.lock()
        try:
            count = self.sock.readinto(buffer)
        except OSError as error:
            count = -error.errno
        if count is None:
            _the.unlock()
        else:
            _the.unlock_quietly()
        return count

    def write(self, data):
        try:
            return self.sock.write(data)
        except OSError as error:
            return -error.errno

    def ioctl(self, request, argument):
        return self.sock.ioctl(request, argument)

    def setblocking(self, blocking):
        self.sock.setblocking(blocking)


class SSLContext:
    def __init__(self, protocol):
        self._context = _pc.SSLContext(protocol)
        self.verify_callback = None

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode

    def get_ciphers(self):
        return self._context.get_ciphers()

    def set_ciphers(self, ciphers):
        self._context.set_ciphers(ciphers)

    def load_cert_chain(self, cert, key):
        self._context.load_cert_chain(_ders(cert)[0], _ders(key)[0])

    def load_verify_locations(self, cadata):
        for der in _ders(cadata):
            self._context.load_verify_locations(der)

    def wrap_socket(self, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        words = []

        def judge(certificate, depth):
            # Called from the root down to the broker's own, after all of them were judged.
            begins, ends = _moments(bytes(certificate))
            if _rtc() > ends:
                words.append("The certificate validity has expired")
            if _rtc() < begins:
                words.append("The certificate validity starts in the future")
            result = self.verify_callback(certificate, depth) if self.verify_callback else 0
            if depth == 0 and words and self.verify_mode == CERT_REQUIRED:
                raise ValueError(words[0] + "\n")
            return result

        self._context.verify_callback = judge
        return self._context.wrap_socket(
            _Computing(sock),
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            server_hostname=server_hostname,
        )
