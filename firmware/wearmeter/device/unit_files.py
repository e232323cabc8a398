"""What the host has packed for this unit: its product and its config, as records of CBOR with a checksum.

The host checks the maker's JSON files and packs them (tools/provision/pack.py says how); the device trusts the checksum
and parses nothing else. Each lies in two files, /unit/a/NAME and /unit/b/NAME, and in the backup that survives a
reformat of the file system.
"""

import os
from binascii import crc32

from micropython import const

from wearmeter.device.device import NoProduct
from wearmeter.exchange import cbor
from wearmeter.flash.record import FRAME_BYTES, Record

SCHEMA = const(2)
_FOLDER = "/unit"
_MOST_BYTES = const(8192)


def load(name, backup, root=""):
    """Return (fields, whether a copy was damaged, CRC-32 of the payload) of the file `name`. Raises NoProduct."""
    size = 0
    for folder in ("/a/", "/b/"):
        try:
            size = max(size, os.stat(root + _FOLDER + folder + name)[6])
        except OSError:
            pass  # Not there: the other copy, or the backup, will do.
    record = None
    found = 0
    size = min(max(size, FRAME_BYTES + 1), _MOST_BYTES)
    while not found and size <= _MOST_BYTES:
        record = Record(bytearray(size), name, backup, root + _FOLDER)
        found = record.load()
        size *= 2  # The backup may be larger than what is left of the files.
    if not found:
        raise NoProduct("%s: no good copy in /unit/a, /unit/b or the backup (make provision)" % name)
    record.back_up(found)
    payload = bytes(record.payload[:found])
    fields = cbor.decode(payload)
    if not isinstance(fields, list) or not fields or fields[0] != SCHEMA:
        raise NoProduct("%s: packed for another firmware (make provision)" % name)
    return fields, bool(record.damaged or record.from_backup), crc32(payload) & 0xFFFFFFFF


class Product:
    """What is counted, and how: see load_product."""

    def __init__(self, fields):
        (
            _,
            self.about_head,
            self.about_parts,
            self.max_on_ms,
            self.powered_with_motor,
            (self.led_signal, self.led_active, self.led_color),
            self.inputs,  # (driver, signal, on, off, weight bands or None); for level: on is the active level
            self.parts,  # (id, place of its input, rated life in hours, button signal or None, its active level)
        ) = fields[:8]


class Config:
    """Wi-Fi, broker, identity."""

    def __init__(self, fields):
        (
            _,
            self.serial,
            self.device,
            self.topic_root,
            (self.ssid, self.wifi_password),
            (self.host, self.port, self.transport, self.user, self.password),
            (self.ca, self.client_cert, self.client_key),
            (self.psk_identity, self.psk_key),
            self.ntp_host,
        ) = fields[:9]
