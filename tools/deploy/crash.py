"""Where a unit's firmware crashed: from a bundle's line to the source's, by the map that the build keeps."""

from __future__ import annotations

import binascii
import json
import re
from pathlib import Path

from tools.setup import firmware
from tools.simulator.counts import pure

PLACE = re.compile(r'File "(wm_\w+)\.py", line (\d+)(?:, in (\w+))?')


def text(copies: list[str]) -> str:
    """What the newest copy of the crash record says, both copies in hex; "" where there was no crash."""
    record, head_bytes = pure("flash.record"), pure("device.guard")._HEAD_BYTES
    found = [record.unframe(binascii.unhexlify(copy)) for copy in copies if len(copy) >= 2 * record.FRAME_BYTES]
    newest = max((copy for copy in found if copy), default=(0, b""))
    return bytes(newest[1][head_bytes:]).decode("utf-8", "replace").strip()


def located(told: str, sums: str, build: Path = firmware.BUILD) -> str:
    """The text with the source's file, line and function for each place in a bundle.

    `sums` is that of the slot which runs. Lines of a firmware of another build stay, and a last line says so.
    """
    if not PLACE.search(told):
        return told
    ours = firmware.with_sums({path.name: path.read_bytes() for path in (build / "mpy").glob("wm_*.mpy")})
    if set(ours["sums"].decode().splitlines()[:-1]) - set(sums.splitlines()):
        return f"{told}\n(lines of another build: only a checkout of that firmware can tell their source)"
    lines = json.loads((build / "bundles" / "lines.json").read_text())

    def place(match: re.Match[str]) -> str:
        found = lines.get(match[1], {}).get(match[2])
        if not found:
            return match[0]
        path, line, function = found
        return f'File "firmware/{path}", line {line}' + (f", in {function}" if function else "")

    return PLACE.sub(place, told)
