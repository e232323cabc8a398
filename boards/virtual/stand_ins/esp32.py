"""`esp32` as on the ESP32: NVS, kept in one file that is replaced whole at each commit."""

import json
import costs as _costs
import world as _world
from binascii import a2b_base64, b2a_base64

_the = _world.the

if _the.session.get("pcnt"):
    from pulse_counter import PCNT  # noqa: F401
_NVS_NOT_FOUND = -0x1102
_NVS_INVALID_LENGTH = -0x110C
_NVS_KEY_TOO_LONG = -0x1109
_NVS_INVALID_NAME = -0x1106
_BLOB_BYTES_MAX = 8000  # NVS keeps longer blobs in chunks; the partition has 24 KiB for old and new


class NVS:
    """nvs_set_* of the ESP32 programs flash at once; commit() is kept for the interface."""

    def __init__(self, namespace):
        if not 0 < len(namespace) <= 15:
            raise OSError(_NVS_INVALID_NAME, "ESP_ERR_NVS_INVALID_NAME")
        self.namespace = namespace

    def _read(self):
        file = _the.nvs_file
        file.seek(0)
        text = file.read().rstrip(b"\0 ")
        return json.loads(text) if text else {}

    def _check(self, key):
        if not 0 < len(key) <= 15:
            raise OSError(_NVS_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        return self.namespace + "/" + key

    def _write(self, entries):
        if _the.spend(_costs.NVS_WRITE_US) is not None:
            _the.die_in_flash()  # NVS is atomic: the old value stays
        file = _the.nvs_file
        old = file.seek(0, 2)
        text = json.dumps(entries).encode()
        file.seek(0)
        file.write(text + b" " * (old - len(text)))

    def _get(self, key, kind):
        entries = self._read()
        key = self._check(key)
        if key not in entries or entries[key][0] != kind:
            raise OSError(_NVS_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return entries[key][1]

    def _set(self, key, kind, value):
        entries = self._read()
        entries[self._check(key)] = [kind, value]
        self._write(entries)

    def set_i32(self, key, value):
        self._set(key, "i32", (value + (1 << 31) & 0xFFFFFFFF) - (1 << 31))

    def get_i32(self, key):
        return self._get(key, "i32")

    def set_blob(self, key, value):
        if len(value) > _BLOB_BYTES_MAX:
            raise OSError(-0x110E, "ESP_ERR_NVS_VALUE_TOO_LONG")
        self._set(key, "blob", b2a_base64(value).decode().strip())

    def get_blob(self, key, buffer):
        value = a2b_base64(self._get(key, "blob"))
        if len(value) > len(buffer):
            raise OSError(_NVS_INVALID_LENGTH, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        entries = self._read()
        key = self._check(key)
        if key not in entries:
            raise OSError(_NVS_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        del entries[key]
        self._write(entries)

    def commit(self):
        pass


def raw_temperature():
    return 128


def mcu_temperature():
    return 40
