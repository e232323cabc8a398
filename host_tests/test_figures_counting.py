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


def test_a_cut_at_any_moment_of_a_clean_loses_less_than_a_second_and_a_tick_at_rest_takes_no_heap(
    firmware: Path,
) -> None:
    figures = Figures()
    counting.loss(figures, cuts=300)
    assert figures["loss_max"] <= 1000
    assert figures["heap_a_tick.rest"] == figures["heap_a_tick.running"] == 0
    assert figures["short_without_cuts"] <= 200


def test_a_month_without_cuts_is_counted_to_the_millisecond() -> None:
    figures = Figures()
    counting.exactness(figures, days=30)
    assert figures["year_error"] == 0
