"""A certificate's notBefore is read by its place in the DER, whatever its other fields contain."""

import sys

try:
    import tls
except ImportError:  # CPython has none; nothing here needs it.
    tls = sys.modules["tls"] = type(sys)("tls")

from wearmeter.network.tls import begins_s

SEQUENCE, INTEGER, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18
DECOY = b"\x17\x0d200101000000Z"


def der(tag, *values):
    value = b"".join(values)
    size = bytes([len(value)]) if len(value) < 128 else b"\x82" + len(value).to_bytes(2, "big")
    return bytes([tag]) + size + value


def certificate(serial, begins=b"260701120000Z", tag=UTC_TIME, version=True, issuer=b"maker"):
    fields = [der(VERSION, der(INTEGER, b"\x02"))] * version
    fields += [der(INTEGER, serial), der(SEQUENCE, b"\x06\x01\x2a"), der(SEQUENCE, issuer)]
    fields += [der(SEQUENCE, der(tag, begins), der(UTC_TIME, b"360701120000Z"))]
    return der(SEQUENCE, der(SEQUENCE, *fields), b"signature" * 30)


def test_a_serial_number_or_an_issuer_that_looks_like_a_time_is_passed_over():
    """Row 20: a serial number that contains 17 0d hid notBefore."""
    for serial in (b"\x01", b"\x17\x0d", b"\x01\x17\x0d\x39", DECOY):
        for issuer in (b"maker", DECOY, DECOY * 20):
            for version in (True, False):
                assert begins_s(certificate(serial, version=version, issuer=issuer)) == 1782907200


def test_a_beginning_of_the_last_century_or_in_another_form_says_nothing():
    assert begins_s(certificate(b"\1", b"991231235959Z")) == 0
    assert begins_s(certificate(b"\1", b"20500101000000Z", GENERALIZED_TIME)) == 0
    assert begins_s(certificate(b"\1", b"491231235959Z")) == 2524607999


def test_one_cut_short_before_its_beginning_raises_and_nothing_else():
    whole = certificate(DECOY)
    for end in range(whole.index(b"260701") + 10):
        try:
            begins_s(whole[:end])
            raise AssertionError(end)
        except (ValueError, IndexError):
            pass
