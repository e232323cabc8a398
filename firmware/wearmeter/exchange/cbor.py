"""The part of CBOR (RFC 8949) that Wearmeter speaks, bounded for a small device.

    data = encode([1, None, "text", [2, 3]])
    item = decode(data)

Integers, text, byte strings, arrays, false, true and null, in definite lengths. Encoding is deterministic
(RFC 8949 section 4.2.1): every number takes its shortest form. Decoding refuses what encoding cannot make
(floats, maps, tags, indefinite lengths) and never allocates more than the input's own size.
"""

from micropython import const

_MAX_DEPTH = const(6)


class CborError(ValueError):
    """The bytes are not CBOR that this decoder accepts; the message says which byte and why."""


def _head(major, value, out):
    major <<= 5
    if value < 24:
        out.append(major | value)
        return
    for power in range(4):
        size = 1 << power
        if not value >> 8 * size:
            out.append(major | 24 + power)
            out.extend(value.to_bytes(size, "big"))
            return
    raise ValueError("integer beyond 64 bits")


def encode_into(item, out):
    """Append the encoding of `item` to the bytearray `out`.

    Raises TypeError for a type that the format does not have, ValueError for an integer beyond 64 bits.
    """
    if item is None:
        out.append(0xF6)
    elif item is True:
        out.append(0xF5)
    elif item is False:
        out.append(0xF4)
    elif isinstance(item, int):
        if item < 0:
            _head(1, -1 - item, out)
        else:
            _head(0, item, out)
    elif isinstance(item, str):
        data = item.encode()
        _head(3, len(data), out)
        out.extend(data)
    elif isinstance(item, (bytes, bytearray)):
        _head(2, len(item), out)
        out.extend(item)
    elif isinstance(item, (list, tuple)):
        _head(4, len(item), out)
        for part in item:
            encode_into(part, out)
    else:
        raise TypeError("no CBOR for %s" % type(item))


def encode(item):
    """Return `item` as CBOR bytes."""
    out = bytearray()
    encode_into(item, out)
    return bytes(out)


class _Decoder:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise CborError("byte %d: ends early" % len(self.data))
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def item(self, depth):
        start = self.at
        first = self.take(1)[0]
        major = first >> 5
        value = first & 31
        if major == 7:
            if value == 20:
                return False
            if value == 21:
                return True
            if value == 22:
                return None
            raise CborError("byte %d: unsupported simple value or float" % start)
        if value > 27:
            raise CborError("byte %d: indefinite or reserved length" % start)
        if value > 23:
            size = 1 << (value - 24)
            value = int.from_bytes(self.take(size), "big")
            if value < 24 or (size > 1 and value >> (4 * size) == 0):
                raise CborError("byte %d: not the shortest form" % start)
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        # Whatever follows takes at least one byte an element: a length beyond the input is refused before anything
        # is allocated for it.
        if value > len(self.data) - self.at:
            raise CborError("byte %d: ends early" % start)
        if major == 2:
            return bytes(self.take(value))
        if major == 3:
            try:
                return str(bytes(self.take(value)), "utf-8")
            except UnicodeError:
                raise CborError("byte %d: text is not UTF-8" % start)
        if major == 4:
            if depth >= _MAX_DEPTH:
                raise CborError("byte %d: nested deeper than %d" % (start, _MAX_DEPTH))
            return [self.item(depth + 1) for _ in range(value)]
        raise CborError("byte %d: unsupported major type %d" % (start, major))


def decode(data):
    """Return the one item that `data` (bytes-like) holds. Raises CborError for anything else."""
    decoder = _Decoder(data)
    item = decoder.item(0)
    if decoder.at != len(data):
        raise CborError("byte %d: more after the item" % decoder.at)
    return item
