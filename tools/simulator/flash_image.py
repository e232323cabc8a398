"""The unit's flash as a file: a littlefs image that MicroPython's VfsLfs2 mounts, and the wear counters beside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from littlefs import LittleFS, LittleFSError

BLOCK_BYTES = 4096
# As MicroPython's VfsLfs2 mounts it; block size and count come from the device.
GEOMETRY: dict[str, Any] = {
    "block_size": BLOCK_BYTES,
    "read_size": 32,
    "prog_size": 32,
    "cache_size": 128,
    "lookahead_size": 32,
}
NO_ENTRY = -2  # LFS_ERR_NOENT
STATS_HEADER = "<4sIQQQ"  # boards/virtual/flash.py


@dataclass(frozen=True)
class FlashStats:
    """What the flash has gone through since the image was made."""

    programs: int
    erases: int
    bytes_programmed: int
    erases_of_block: tuple[int, ...]

    @property
    def hottest_block_erases(self) -> int:
        return max(self.erases_of_block, default=0)

    @classmethod
    def read(cls, path: Path) -> FlashStats:
        data = path.read_bytes()
        if len(data) < struct.calcsize(STATS_HEADER):
            return cls(0, 0, 0, ())
        _, blocks, programs, erases, programmed = struct.unpack_from(STATS_HEADER, data)
        return cls(programs, erases, programmed, struct.unpack_from(f"<{blocks}I", data, struct.calcsize(STATS_HEADER)))


def make(path: Path, files: dict[str, bytes], size_bytes: int) -> None:
    """Writes an image with these files (name below / -> content)."""
    filesystem = LittleFS(block_count=size_bytes // BLOCK_BYTES, **GEOMETRY)
    for name, content in files.items():
        for folder in reversed(PurePosixPath("/", name).parents):
            if str(folder) != "/":
                filesystem.makedirs(str(folder), exist_ok=True)
        with filesystem.open("/" + name, "wb") as file:
            file.write(content)
    path.write_bytes(bytes(filesystem.context.buffer))


def _mounted(path: Path) -> LittleFS:
    data = path.read_bytes()
    filesystem = LittleFS(block_count=len(data) // BLOCK_BYTES, mount=False, **GEOMETRY)
    filesystem.context.buffer = bytearray(data)
    filesystem.mount()
    return filesystem


def read_file(path: Path, name: str) -> bytes | None:
    """A file's content in the image, or None where there is none. Raises LittleFSError when it does not mount."""
    filesystem = _mounted(path)  # it must outlive the file: its C side holds the memory
    try:
        with filesystem.open("/" + name.lstrip("/"), "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
    finally:
        filesystem.unmount()


def read_tree(path: Path, folder: str) -> dict[str, bytes]:
    """All files below a folder of the image, by their path below it; empty where there is no such folder."""
    filesystem = _mounted(path)
    found: dict[str, bytes] = {}
    try:
        for where, _, names in filesystem.walk("/" + folder.strip("/")):
            for name in names:
                whole = str(PurePosixPath(where, name))
                with filesystem.open(whole, "rb") as file:
                    found[str(PurePosixPath(whole).relative_to("/" + folder.strip("/")))] = bytes(file.read())
    except LittleFSError as error:
        if error.code != NO_ENTRY:
            raise
        return {}
    finally:
        filesystem.unmount()
    return found


def write_file(path: Path, name: str, content: bytes) -> None:
    """Puts one file into an image, as mpremote would."""
    filesystem = _mounted(path)
    folder = str(PurePosixPath("/", name).parent)
    if folder != "/":
        filesystem.makedirs(folder, exist_ok=True)
    with filesystem.open("/" + name.lstrip("/"), "wb") as file:
        file.write(content)
    path.write_bytes(bytes(filesystem.context.buffer))


def remove_file(path: Path, name: str) -> None:
    """Takes one file out of an image."""
    filesystem = _mounted(path)
    filesystem.remove("/" + name.lstrip("/"))
    path.write_bytes(bytes(filesystem.context.buffer))


__all__ = ["FlashStats", "LittleFSError", "make", "read_file", "remove_file", "write_file"]
