"""The messages between device and relay: MQTT payloads in CBOR, as wire.cddl beside this package describes them.

host_tests/vectors/wire.json holds golden vectors that both ends read.
"""

from micropython import const

from wearmeter.exchange import cbor

VERSION = const(2)

REPORT = const(1)
REPLACEMENT = const(2)
FAULT = const(3)
ANSWER = const(4)

ACK = const(1)
WELCOME = const(2)
COMMAND = const(3)

REPLACED = const(1)
UNDO = const(2)
REPORT_NOW = const(3)

# Results of a command.
DONE = const(0)
ALREADY_DONE = const(1)
REFUSED = const(2)
NOT_NOW = const(3)

# The longest down message has 9 numbers of up to 5 bytes; anything longer is refused unread.
_MAX_DOWN_BYTES = const(96)
MAX_ID = const(0x3FFFFFFF)

# Where the fields of a down message stand, after version and kind.
NONCE = const(2)
UTC_S = const(3)
EPOCH = const(4)  # of an acknowledgment and a welcome
SEQUENCE = const(5)
ABOUT_CRC = const(6)  # of a welcome
NUMBER = const(4)  # of a command
OPERATION = const(5)
PART = const(6)
GENERATION = const(7)


class WireError(ValueError):
    """A down message that this device does not accept; the text says why."""


def up(entry, now_s=None):
    """Return a queue entry's up message.

    A moment later than `now_s` (UTC seconds, None while unknown) is that of a clock that was wrong: it is left out.
    """
    not_before, not_after = entry.not_before, entry.not_after
    if now_s:
        not_before = 0 if not_before > now_s else not_before
        not_after = 0 if not_after > now_s else not_after
    moment = not_before
    if not not_before or not_before != not_after:
        moment = [not_before or None, not_after or None]
    fields = [VERSION, entry.kind, entry.epoch, entry.sequence, moment, entry.faults]
    out = bytearray()
    cbor.encode_into(fields, out)
    tail_fields = {REPORT: 1, REPLACEMENT: 5, ANSWER: 2}.get(entry.kind, 1 if entry.tail else 0)
    out.extend(entry.tail)
    if entry.merged:
        cbor.encode_into(entry.merged, out)
        tail_fields += 1
    out[0] = 0x80 | len(fields) + tail_fields
    return bytes(out)


def first_number(tail):
    """Return the whole number, below 256, that `tail` (concatenated CBOR) begins with."""
    return tail[0] if tail[0] < 24 else tail[1]


def status(nonce, epoch, faults, reason, uptime_s, clock_known, firmware, next_sequence, link_losses):
    """Return the retained status of a device that is online."""
    known = 1 if clock_known else 0
    return cbor.encode(
        [VERSION, 1, nonce, epoch, faults, reason, uptime_s, known, firmware, next_sequence, link_losses]
    )


def last_will(nonce):
    """Return the status that the broker publishes when the connection with this nonce is lost."""
    return cbor.encode([VERSION, 0, nonce])


def about(product, serial, firmware):
    """Return the retained description of the device: what the relay needs to answer a discovery.

    `product` has `about_head` (model, manufacturer, description) and `about_parts` (the consumables), as CBOR that the
    host has made: the device never looks into them.
    """
    unit = cbor.encode(serial) + cbor.encode(firmware)
    return b"\x87" + cbor.encode(VERSION) + product.about_head + unit + product.about_parts


def parse_down(data):
    """Return a down message as the list of its fields, all whole numbers from 0 (a welcome's CRC may be None).

    Raises WireError for anything that is not a complete message of this version. Trailing fields are kept.
    """
    if len(data) > _MAX_DOWN_BYTES:
        raise WireError("too long")
    try:
        fields = cbor.decode(data)
    except cbor.CborError as error:
        raise WireError(str(error))
    if not isinstance(fields, list) or len(fields) < 6:
        raise WireError("too few fields")
    version, kind = fields[:2]
    # Nonce, time and two more; a welcome has a third, a command as many as its operation wants.
    needed = 6
    if kind == WELCOME:
        needed = 7
    elif kind == COMMAND and fields[OPERATION] != REPORT_NOW:
        needed = 8
    if version != VERSION or kind not in (ACK, WELCOME, COMMAND):
        raise WireError("unknown version or type")
    if kind == COMMAND and fields[OPERATION] not in (REPLACED, UNDO, REPORT_NOW):
        raise WireError("unknown operation")
    if len(fields) < needed:
        raise WireError("too few fields")
    for at in range(needed):
        field = fields[at]
        if at == ABOUT_CRC and kind == WELCOME and field is None:
            continue
        if type(field) is not int or not 0 <= field <= 0xFFFFFFFF:
            raise WireError("field %d" % at)
    return fields
