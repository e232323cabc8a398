"""The search for broken promises finds each of them in a firmware that breaks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.torture import power

# A module, what is in it, what it becomes, the histories that show it, and the words of the broken promise.
MUTATIONS = {
    "saves too rarely": (
        "device/tick", "min(_LONGEST_PAUSE_MS, ", "max(_LONGEST_PAUSE_MS + 1900, ",
        ["count"], "promise 1",
    ),
    "counts what a held-up tick has seen at once": (
        "inputs/meter", "self._credit(gap_us - late_us)", "self._credit(gap_us)", ["count"], "promise 1",
    ),
    "trusts an edge that came late": (
        "inputs/level", "PROMPT if prompt else LATE", "PROMPT", ["toggling"], "promise 1",
    ),
    "answers before the flash has it": (
        "state/state", "            self._save(backup)\n            return True\n        except Full",
        "            return True\n        except Full", ["replacement"],
        "a power cut alone raised the faults",
    ),
    "forgets a replacement before it is queued": (
        "state/state", "self._enqueue(wire.REPLACEMENT, tail, (", "tuple((", ["replacement"], "promise 2",
    ),
    "begins its sequence anew": (
        "state/ledger", "numbers.next_sequence,\n        numbers.last_command,\n        numbers.last_period,\n        "
        "numbers.floor_s,",
        "1,\n        numbers.last_command,\n        numbers.last_period,\n        "
        "numbers.floor_s,",
        ["report"], "a power cut alone raised the faults",
    ),
    "tells of a part that can still be taken back": (
        "state/part", "        if self.replacement:\n            at_ms", "        if False:\n            at_ms",
        ["undo"], "promise 4",
    ),
    "writes a file in two steps": (
        "flash/record", "with self._open(at) as file:",
        'with self._open(at):\n                pass\n            with open(self._paths[at], "ab") as file:',
        ["count"], "a power cut alone raised the faults",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_finds_a_firmware_that(name: str, root: Path, tmp_path: Path) -> None:
    module, right, wrong, histories, words = MUTATIONS[name]
    mutated = tmp_path / "firmware"
    shutil.copytree(root / "firmware", mutated)
    path = mutated / "wearmeter" / f"{module}.py"
    source = path.read_text()
    assert right in source, "the mutation has lost its place"
    path.write_text(source.replace(right, wrong, 1))
    wanted = {**power.plan(histories, every=[2, 1]), "path": [str(mutated)]}
    found = [told["why"] for told in power.lines(wanted) if isinstance(told, dict) and "why" in told]
    assert any(words in why for why in found), found[:3]
