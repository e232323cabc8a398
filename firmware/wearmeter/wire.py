"""The messages between device and relay, as firmware/wire.cddl describes them.

Times are UTC seconds since 1970-01-01. A time is an exact moment (int) or bounds `[not_before, not_after]` whose
members may be None. Every function is pure; host_tests/vectors/wire.json holds golden vectors that both ends read.
"""

from micropython import const

from wearmeter import cbor

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
        consumables.append([part.id, part.instance, part.input, part.rated_life_h, part.replenishment_id, names])
    return cbor.encode(
        [VERSION, product.model, product.manufacturer, product.description, serial, firmware, consumables]
    )


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
    elif kind == COMMAND and fields[5] != REPORT_NOW:
        needed = 8
    if version != VERSION or kind not in (ACK, WELCOME, COMMAND) or (kind == COMMAND and fields[5] not in (1, 2, 3)):
        raise WireError("unknown version, type or operation")
    if len(fields) < needed:
        raise WireError("too few fields")
    for at in range(needed):
        field = fields[at]
        if at == 6 and kind == WELCOME and field is None:
            continue
        if type(field) is not int or not 0 <= field <= 0xFFFFFFFF:
            raise WireError("field %d" % at)
    return fields
