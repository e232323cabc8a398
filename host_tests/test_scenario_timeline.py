"""From scenario and seed to what truly happens: power, motors, presses, outages, to the millisecond and repeatable."""

from pathlib import Path

import pytest

from tools.setup import boards
from tools.simulator import timeline
from tools.simulator.scenario import DAY, HOUR, MINUTE, SCENARIOS, SECOND, Scenario, ScenarioError

HEAD = 'product = "vacuum"\nstart = 2026-03-02T00:00:00Z\ndays = 3\n'
NINE = 9 * HOUR


def built(text: str, seed: int | None = None) -> timeline.Timeline:
    return timeline.build(Scenario.parse(HEAD + text, Path("mine.toml")), seed)


def test_a_clean_ended_by_a_cut_runs_its_motors_to_the_last_moment() -> None:
    line = built('[[clean]]\nat = "09:00"\ndays = [1]\nduration = "10 min"\ninputs = ["suction"]\n')
    (session,) = line.sessions
    assert (session.on_ms, session.off_ms) == (NINE - 5 * SECOND, NINE + 10 * MINUTE)
    assert line.running == {"suction": [(NINE, NINE + 10 * MINUTE)], "brush": []}
    gpio = boards.pins("virtual")["suction_motor"]
    moves = [event for event in session.events if event[1:3] == ["pin", gpio]]
    assert moves == [[0, "pin", gpio, 0], [5000, "pin", gpio, 1]]


def test_a_clean_ended_by_the_switch_leaves_the_unit_powered_for_a_while() -> None:
    line = built('[[clean]]\nat = "09:00"\ndays = [2]\nduration = "1 min"\nended_by = "switch"\npower_after = "30 s"\n')
    (session,) = line.sessions
    assert session.off_ms == DAY + NINE + 90 * SECOND
    gpio = boards.pins("virtual")["brush_motor"]
    assert [65_000, "pin", gpio, 0] in session.events


def test_an_input_may_run_for_a_part_of_the_clean() -> None:
    line = built(
        '[[clean]]\nat = "09:00"\ndays = [1]\nduration = "10 min"\n'
        'inputs = { suction = "all", brush = { from = "2 min", for = "3 min" } }\n'
    )
    assert line.running["brush"] == [(NINE + 2 * MINUTE, NINE + 5 * MINUTE)]


def test_a_motor_does_not_run_without_power() -> None:
    line = built(
        '[[clean]]\nat = "09:00"\ndays = [1]\nduration = "10 min"\n'
        '[[power_cut]]\nat = "day 1 09:04:00.250"\noff_for = "1 min"\n'
    )
    first, second = line.sessions
    assert first.off_ms == NINE + 4 * MINUTE + 250
    assert second.on_ms == NINE + 5 * MINUTE + 250
    assert line.true_ms("suction") == 9 * MINUTE
    gpio = boards.pins("virtual")["suction_motor"]
    assert [0, "pin", gpio, 1] in second.events
    assert line.true_ms("suction", NINE + MINUTE, NINE + 2 * MINUTE) == MINUTE


def test_always_powered_means_one_session_until_the_power_fails() -> None:
    line = built('powered = "always"\n[[power_cut]]\nat = "day 2 12:00"\noff_for = "1 h"\n')
    assert [(session.on_ms, session.off_ms) for session in line.sessions] == [
        (0, DAY + 12 * HOUR),
        (DAY + 13 * HOUR, 3 * DAY),
    ]


def test_a_press_bounces_and_settles() -> None:
    line = built(
        '[[plugged]]\nat = "day 1 10:00"\nfor = "20 min"\n'
        '[[press]]\nbutton = "filter_button"\nat = "day 1 10:05"\nhold = "3.5 s"\nbounces = 4\n'
    )
    gpio = boards.pins("virtual")["filter_button"]
    moves = [
        (at, level)
        for at, kind, *rest in line.sessions[0].events
        if kind == "pin"
        for number, level in [rest]
        if number == gpio
    ]
    assert moves[0] == (0, 1)
    down = [(at, level) for at, level in moves[1:] if at < 300_000 + 1000]
    up = [(at, level) for at, level in moves[1:] if at >= 300_000 + 3500]
    assert [level for _, level in down] == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert [level for _, level in up] == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert down[0][0] == 300_000 and down[-1][0] <= 300_016
    assert line.presses[0].powered


def test_a_press_without_power_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"mine.toml: press\[1\].at: the unit has no power then"):
        built('[[clean]]\nat = "09:00"\nduration = "1 min"\n[[press]]\nbutton = "filter_button"\nat = "day 1 10:05"\n')


def test_a_unit_that_never_has_power_is_refused() -> None:
    with pytest.raises(ScenarioError, match="never has power"):
        built("")


def test_outages_stand_at_power_on_as_they_are_then() -> None:
    line = built(
        '[[clean]]\nat = "09:00"\nduration = "10 min"\n'
        '[[wifi_outage]]\nfrom = "day 1 12:00"\nfor = "1 d"\nmode = "no_internet"\n'
        '[[broker_outage]]\nfrom = "day 3 09:05"\nfor = "1 min"\nmode = "silent"\n'
        '[clock]\nunknown_for = "10 h"\n'
    )
    events = [session.events for session in line.sessions]
    assert [0, "broker", "refused"] in events[0] and [0, "ntp", False] in events[0]
    assert (
        [0, "wifi", "no_internet"] in events[1] and [0, "broker", "up"] in events[1] and [0, "ntp", True] in events[1]
    )
    assert [305_000, "broker", "silent"] in events[2] and [365_000, "broker", "up"] in events[2]
    assert line.clock_unknown == [(0, 10 * HOUR)]


def test_a_lying_time_server_adds_up_its_lies() -> None:
    line = built(
        'powered = "always"\n'
        '[[clock.jump]]\nat = "day 1 10:00"\nby = "+1 h"\n[[clock.jump]]\nat = "day 2 10:00"\nby = "-90 min"\n'
        '[[clock.jump]]\nat = "day 2 11:00"\nby = "-1 s"\nclock = "rtc"\n'
    )
    events = [event for event in line.sessions[0].events if event[1] in ("ntp_error", "rtc_jump")]
    assert events == [
        [10 * HOUR, "ntp_error", HOUR],
        [DAY + 10 * HOUR, "ntp_error", -30 * MINUTE],
        [DAY + 11 * HOUR, "rtc_jump", -SECOND],
    ]


def test_a_recording_drives_the_adc_each_second(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("RMS Current\n0\n5\n5\n0.4\n10\n0\n")
    (tmp_path / "mine.toml").write_text(
        HEAD.replace('"vacuum"', '"vacuum_current"')
        + '[[recording]]\nfile = "a.csv"\namps_full_scale = 10.0\nat = "day 1 10:00"\n'
    )
    line = timeline.build(Scenario.load(tmp_path / "mine.toml"))
    (session,) = line.sessions
    gpio = boards.pins("virtual")["motor_current"]
    assert [event for event in session.events if event[1] == "adc"] == [
        [0, "adc", gpio, 0],
        [5000, "adc", gpio, 0],
        [6000, "adc", gpio, 32768],
        [8000, "adc", gpio, 2621],
        [9000, "adc", gpio, 65535],
        [10_000, "adc", gpio, 0],
        [11_000, "adc", gpio, 0],
    ]
    (name,) = line.running
    assert line.true_ms(name) == 3 * SECOND


@pytest.mark.parametrize("name", ["week", "random_household", "always_on"])
def test_the_same_seed_gives_the_same_timeline_and_another_gives_another(name: str) -> None:
    scenario = Scenario.load(SCENARIOS / f"{name}.toml")
    first, again, other = timeline.build(scenario, 5), timeline.build(scenario, 5), timeline.build(scenario, 6)
    assert (first.sessions, first.running, first.presses) == (again.sessions, again.running, again.presses)
    assert (first.sessions, first.running) != (other.sessions, other.running)


def test_the_week_is_the_week_that_was_asked_for() -> None:
    line = timeline.build(Scenario.load("week"))
    assert len(line.sessions) == 14
    assert all(12 * MINUTE <= b - a <= 18 * MINUTE for a, b in line.running["suction"])
    assert all(any(b == session.off_ms for _, b in line.running["suction"]) for session in line.sessions)
    (press,) = line.presses
    assert press.powered and press.up_ms - press.down_ms == 3500
    assert line.powered_ms(press.up_ms, line.scenario.duration_ms) > 11 * MINUTE
    assert press.down_ms // DAY == 3
    assert not any(a <= press.up_ms and press.down_ms < b for a, b in line.running["suction"])


def test_a_household_keeps_to_its_habits() -> None:
    text = (
        '[household]\ncleans_a_day = 2.5\nduration = ["2 min", "4 min"]\nbetween = ["08:00", "20:00"]\n'
        "cut_probability = 0.5\ninputs = { suction = 1.0, brush = 0.5 }\n"
    )
    line = built(text.replace("2.5", "2.5"), seed=3)
    assert 6 <= len(line.running["suction"]) <= 9
    assert len(line.running["brush"]) < len(line.running["suction"])
    for start, end in line.running["suction"]:
        assert 8 * HOUR <= start % DAY <= 20 * HOUR
        assert 2 * MINUTE <= end - start
