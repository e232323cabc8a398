"""The figures to reach for counting are reached; `make bench` measures them at length."""

from __future__ import annotations

from pathlib import Path

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
