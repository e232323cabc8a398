"""What the host has packed for this unit: its product and its config, as records of CBOR with a checksum.

The host checks the maker's JSON files and packs them (tools/provision/pack.py says how); the device trusts the checksum
and parses nothing else. Each lies in two files, /unit/a/NAME and /unit/b/NAME, and in the backup that survives a
reformat of the file system.
"""

import os
from binascii import crc32

from micropython import const

from wearmeter.exchange import cbor
from wearmeter.flash.record import Record, unframe

SCHEMA = const(2)
_FOLDERS = ("/unit/a/", "/unit/b/")
_LEAST_BYTES = const(1024)
_MOST_BYTES = const(8192)


class NoProduct(ValueError):
    """Nobody knows what to count; the text says which file of the unit's has no good copy."""


def load(name, backup, root=""):
    """Return (fields, CRC-32 of the payload) of the first good copy of the file `name`. Raises NoProduct.

    The start of counting waits for it, so the other copies are looked at later: see `check`.
    """
    for folder in _FOLDERS:
        try:
            with open(root + folder + name, "rb") as file:
                found = unframe(file.read(_MOST_BYTES))
        except OSError:
            continue  # Not there: the other copy, or the backup, will do.
        if found:
            return _fields(name, found[1])
    size = _LEAST_BYTES
    while size <= _MOST_BYTES:  # No larger piece of the heap than it takes: later there may be none.
        buffer = bytearray(size)
        found = unframe(memoryview(buffer)[: backup.load_into(buffer)])
        if found:
            return _fields(name, bytes(found[1]))
        size *= 2
    raise NoProduct("%s: no good copy in /unit/a, /unit/b or the backup (make provision)" % name)


def _fields(name, payload):
    fields = cbor.decode(payload)
    if not isinstance(fields, list) or not fields or fields[0] != SCHEMA:
        raise NoProduct("%s: packed for another firmware (make provision)" % name)
    return fields, crc32(payload) & 0xFFFFFFFF


def check(name, backup, root=""):
    """Look at all copies of a file of which there is a good one; bring the backup to what the files hold. Returns
    whether a copy was damaged."""
    size = 0
    for folder in _FOLDERS:
        try:
            found_bytes = os.stat(root + folder + name)[6]
        except OSError:
            found_bytes = 0
        if not found_bytes:
            return True
        size = max(size, found_bytes)
    record = Record(bytearray(size), name, backup, root + "/unit")
    found = record.load()
    if found:
        record.back_up(found)
    return bool(record.damaged or record.from_backup or not found)
