"""The boards: a folder of boards/ with pins.csv and board.json. The module `board` of the device is made here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

BOARDS = Path(__file__).resolve().parents[2] / "boards"


class BoardError(Exception):
    """A board's files do not say what they must; one line."""


def names() -> list[str]:
    """All boards there are."""
    return sorted(path.parent.name for path in BOARDS.glob("*/pins.csv"))


def facts(board: str) -> dict[str, Any]:
    """What board.json says. Raises BoardError for a board that is not there."""
    if board not in names():
        raise BoardError(f"BOARD={board}: there is no such board; there are {', '.join(names())}")
    return dict(json.loads((BOARDS / board / "board.json").read_text()))


def pins(board: str) -> dict[str, int]:
    """Signal -> GPIO, from pins.csv (SIGNAL,GPIOn, as in MicroPython's own board folders). Raises BoardError."""
    path = BOARDS / board / "pins.csv"
    found: dict[str, int] = {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            if len(row) != 2 or not row[1].strip().removeprefix("GPIO").isdigit():
                raise BoardError(f"{path.name}:{number}: {','.join(row)}, allowed: SIGNAL,GPIOn")
            signal = row[0].strip()
            if signal in found:
                raise BoardError(f"{path.name}:{number}: {signal} is there twice")
            found[signal] = int(row[1].strip().removeprefix("GPIO"))
    return found


def source(board: str) -> str:
    """The text of the module `board` of a board: its chip's family, its name, its pins. Raises BoardError."""
    text = (BOARDS / f"{facts(board)['family']}.py").read_text()
    given = "\n".join(f"    {signal!r}: {gpio}," for signal, gpio in pins(board).items())
    return text + f"\n\nNAME = {board!r}\nPINS.update({{\n{given}\n}})\n"
