"""The unit's process is killed with signal 9 at random moments while it talks to a broker and the relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.torture import kills


@pytest.mark.parametrize("seed", [1, 2])
def test_a_unit_that_is_killed_again_and_again_loses_a_second_a_kill_and_no_replacement(
    seed: int, firmware: Path
) -> None:
    assert kills.live(seed) == []
