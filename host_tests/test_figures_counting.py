"""The figures to reach for counting are reached; `make bench` measures them at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench import counting


class Figures(dict[str, float]):
    def figure(self, name: str, value: float, unit: str, what: str) -> None:
        self[name.removeprefix("counting.")] = value


def test_a_save_costs_less_than_four_hundredths_of_an_erase_and_any_other_way_but_nvs_far_more(firmware: Path) -> None:
    figures = Figures()
    counting.flash(figures, saves=3000, year=0)
    assert figures["erases_a_save.ours"] <= 0.035
    assert figures["erases_a_save.ours_undo"] <= 0.035
    assert figures["erases_a_save.json"] > 0.9
    assert figures["bytes_a_save.ours"] <= 110


@pytest.mark.parametrize("erase_ms", [45, 150])
def test_a_cut_at_any_moment_costs_less_than_a_second_on_the_real_littlefs(firmware: Path, erase_ms: int) -> None:
    """Row 15: with 150 ms an erase a cut in a compaction cost 1,071 ms."""
    figures = Figures()
    counting.slow_flash(figures, erase_ms, saves=4000, clean_s=300)
    prefix = f"erase_{erase_ms}_ms."
    assert figures[prefix + "first_clean"] <= 1000
    assert 700 <= figures[prefix + "worst_loss"] <= figures[prefix + "bound"] <= 1000
    assert figures[prefix + "most_erases"] <= 2 and not figures[prefix + "told_slow"]


def test_a_cut_at_a_random_moment_costs_less_than_a_second(firmware: Path) -> None:
    figures = Figures()
    counting.loss(figures, 45, cuts=100)
    assert 0 < figures["cut_loss_45_ms.mean"] < 500 < figures["cut_loss_45_ms.max"] <= 1000
