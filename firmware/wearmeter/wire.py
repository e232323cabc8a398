"""The messages between device and relay, as firmware/wire.cddl describes them.

Times are UTC seconds since 1970-01-01. A time is an exact moment (int) or bounds `[not_before, not_after]` whose
members may be None. Every function is pure; host_tests/vectors/wire.json holds golden vectors that both ends read.
"""

from micropython import const

from wearmeter import cbor

VERSION = const(1)

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
MAX_DOWN_BYTES = const(96)
MAX_ID = const(0x3FFFFFFF)


class WireError(ValueError):
    """A down message that this device does not accept; the text says why."""


def time_of(not_before, not_after):
    """Return the wire's time for two bounds in UTC seconds, 0 meaning unknown; equal bounds are an exact moment."""
    if not_before and not_before == not_after:
        return not_before
    return [not_before or None, not_after or None]


def up(kind, epoch, sequence, time, faults, tail):
    """Return an up message: `tail` is the list of fields that follow the common ones."""
    return cbor.encode([VERSION, kind, epoch, sequence, time, faults] + tail)


def status(nonce, epoch, faults, reason, uptime_s, clock_known, firmware, next_sequence, link_losses):
    """Return the retained status of a device that is online."""
    return cbor.encode(
        [
            VERSION,
            1,
            nonce,
            epoch,
            faults,
            reason,
            uptime_s,
            1 if clock_known else 0,
            firmware,
            next_sequence,
            link_losses,
        ]
    )


def last_will(nonce):
    """Return the status that the broker publishes when the connection with this nonce is lost."""
    return cbor.encode([VERSION, 0, nonce])


def about(product, serial, firmware):
    """Return the retained description of the device: what the relay needs to answer a discovery."""
    consumables = []
    for part in product.consumables:
        names = [[locale, part.names[locale]] for locale in sorted(part.names)]
        consumables.append([part.instance, part.input, part.rated_life_h, part.replenishment_id, names])
    return cbor.encode(
        [VERSION, product.model, product.manufacturer, product.description, serial, firmware, consumables]
    )


# Fields after [version, type]: nonce, utc_s, then those of the type.
_DOWN_FIELDS = {ACK: 6, WELCOME: 7, COMMAND: 6}
_OPERATION_FIELDS = {REPLACED: 8, UNDO: 8, REPORT_NOW: 6}


def parse_down(data):
    """Return a down message as the list of its fields, all whole numbers from 0 (a welcome's CRC may be None).

    Raises WireError for anything that is not a complete message of this version. Trailing fields are kept.
    """
    if len(data) > MAX_DOWN_BYTES:
        raise WireError("longer than %d bytes" % MAX_DOWN_BYTES)
    try:
        fields = cbor.decode(data)
    except cbor.CborError as error:
        raise WireError(str(error))
    if not isinstance(fields, list) or len(fields) < 2:
        raise WireError("not a message")
    if fields[0] != VERSION or isinstance(fields[0], bool):
        raise WireError("version is not %d" % VERSION)
    kind = fields[1]
    needed = _DOWN_FIELDS.get(kind) if type(kind) is int else None
    if needed is None:
        raise WireError("unknown type")
    if len(fields) < needed:
        raise WireError("too few fields")
    if kind == COMMAND:
        needed = _OPERATION_FIELDS.get(fields[5]) if type(fields[5]) is int else None
        if needed is None:
            raise WireError("unknown operation")
        if len(fields) < needed:
            raise WireError("too few fields")
    for at in range(2, needed):
        field = fields[at]
        if kind == WELCOME and at == 6 and field is None:
            continue
        if type(field) is not int or field < 0 or field > 0xFFFFFFFF:
            raise WireError("field %d is not a number from 0 to 4294967295" % at)
    return fields
