"""The search for broken promises finds each of them in a firmware that breaks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.torture import power

# A module, what is in it, what it becomes, the histories that show it, and the words of the broken promise.
MUTATIONS = {
    "saves too rarely": ("tick", "SAVE_MS = const(700)", "SAVE_MS = const(1500)", ["count"], "promise 1"),
    "trusts an edge that came late": (
        "meter", "gap_ms <= LATE_EDGE_MS and not self.held", "True", ["full_outbox"], "promise 1",
    ),
    "answers before the flash has it": (
        "tick",
        "if not self.save(True):\n            ledger.undo(index)\n            return False\n        part",
        "self.want_second_home = True\n        part",
        ["replacement"],
        "promise 2",
    ),
    "forgets a replacement before it is queued": (
        "tick", "self.released[index] >= part.generation", "not part.replacement.left_s", ["replacement"], "promise 2",
    ),
    "begins its sequence anew": (
        "outbox", "max(state[2], sequence_floor)", "sequence_floor", ["report"], "promise 3",
    ),
    "tells of a part that can still be taken back": (
        "reporter", "part.generation > self._outbox.released[index]", "False", ["undo"], "promise 4",
    ),
    "writes a file in two steps": (
        "store", '"wb") as file:\n', '"wb"):\n                pass\n            with open(path, "ab") as file:\n',
        ["count"], "a power cut alone raised the faults",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_finds_a_firmware_that(name: str, root: Path, firmware: Path, tmp_path: Path) -> None:
    module, right, wrong, histories, words = MUTATIONS[name]
    mutated = tmp_path / "firmware"
    shutil.copytree(root / "firmware", mutated)
    path = mutated / "wearmeter" / f"{module}.py"
    source = path.read_text()
    assert right in source, "the mutation has lost its place"
    path.write_text(source.replace(right, wrong, 1))
    wanted = power.plan(histories, every=[5, 1] if histories == ["full_outbox"] else [2, 1])
    wanted["path"][0] = str(mutated)
    found = [told["why"] for told in power.lines(wanted) if isinstance(told, dict) and "why" in told]
    assert any(words in why for why in found), found[:3]
