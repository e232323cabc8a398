"""`tls` as on the ESP32: mbedTLS, for real, over the stand-in's sockets; boot.py puts it in that module's place.

What differs from the PC: certificates and keys may be PEM; a certificate's dates are judged by the RTC, which says 2000
after each power-on (the PC's own mbedTLS judges them by the PC's clock besides), and arithmetic takes time (costs.py):
after each of the broker's handshake messages that ask for much, and for each record of data. No callback runs in the
midst of it: C hands back where the socket does. A wrong date is a ValueError with mbedTLS's words, as for any other
fault of a certificate.
"""

import binascii as _binascii
import io as _io
import time as _time
import costs as _costs
import world as _world

try:
    import tls as _pc
except ImportError:

    class _pc:
        """A MicroPython without TLS (the 32-bit one that the heap is weighed on) has plain links only."""

        CERT_NONE = CERT_OPTIONAL = CERT_REQUIRED = PROTOCOL_TLS_CLIENT = PROTOCOL_TLS_SERVER = 0
        MBEDTLS_VERSION = ""
        SSLContext = bytes  # which has nothing of a context, and is made of a number


CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = _pc.CERT_NONE, _pc.CERT_OPTIONAL, _pc.CERT_REQUIRED
PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER = _pc.PROTOCOL_TLS_CLIENT, _pc.PROTOCOL_TLS_SERVER
MBEDTLS_VERSION = _pc.MBEDTLS_VERSION

_the = _world.the
_HANDSHAKE_US = _the.session.get("tls_handshake_ms", _costs.TLS_HANDSHAKE_MS) * 1000
_CIPHERS_CHANGE, _HANDSHAKE, _DATA = 20, 22, 23  # types of a record
_HEAD_BYTES = 5  # of a record


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
    """Between mbedTLS and the socket: takes the time that the arithmetic takes on the chip, once mbedTLS asks for more
    or answers: then it has worked on what it got."""

    def __init__(self, sock):
        self.sock = sock
        self.record = bytearray()  # its head, and the first byte of its body
        self.left = 0  # bytes of the record's body to come
        self.is_plain = True
        self.owed_us = 0

    def _compute(self):
        if self.owed_us:
            _the.advance(_the.now_us + (0 if _the.real else self.owed_us))
            self.owed_us = 0

    def _saw(self, data):
        """What came from the peer, to know which records it held."""
        for byte in data:
            if self.left == 0:
                self.record.append(byte)
                if len(self.record) == _HEAD_BYTES:
                    self.left = self.record[3] << 8 | self.record[4]
                    if self.record[0] == _CIPHERS_CHANGE:
                        self.is_plain = False
                    elif self.record[0] == _DATA:
                        self.owed_us += _costs.TLS_RECORD_US + self.left * _costs.TLS_BYTE_US
                continue
            if len(self.record) == _HEAD_BYTES:
                self.record.append(byte)
                if self.record[0] == _HANDSHAKE and self.is_plain:
                    self.owed_us += _HANDSHAKE_US * _costs.TLS_SHARES.get(byte, 0) // 100
            self.left -= 1
            if self.left == 0:
                self.record[:] = b""

    def readinto(self, buffer):
        self._compute()
        _the.in_c += 1
        try:
            count = self.sock.readinto(buffer)
        except OSError as error:
            count = -error.errno
        finally:
            _the.in_c -= 1
        if count is not None and count > 0:
            self._saw(memoryview(buffer)[:count])
        return count

    def write(self, data):
        if data[0] == _DATA:
            self.owed_us += _costs.TLS_RECORD_US + len(data) * _costs.TLS_BYTE_US
        self._compute()
        _the.in_c += 1
        try:
            return self.sock.write(data)
        except OSError as error:
            return -error.errno
        finally:
            _the.in_c -= 1

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


def _passed_on(name):
    return property(
        lambda self: getattr(self._context, name),
        lambda self, value: setattr(self._context, name, value),
    )


# MicroPython 1.29 and newer.
if _the.session.get("psk", True) and hasattr(_pc.SSLContext(PROTOCOL_TLS_CLIENT), "psk_identity"):
    SSLContext.psk_identity = _passed_on("psk_identity")
    SSLContext.psk_key = _passed_on("psk_key")
