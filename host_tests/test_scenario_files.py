"""A scenario file that is wrong gets one line: file, key, reason, what is allowed."""

from pathlib import Path

import pytest

from tools.simulator.scenario import DAY, HOUR, MINUTE, SCENARIOS, Scenario, ScenarioError

GOOD = """
product = "vacuum"
start = 2026-03-02T06:00:00Z
days = 7

[[clean]]
at = "09:00"
duration = "15 min"
"""


def refusal(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(text, Path("mine.toml"))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mine.toml: ")
    return message


def test_the_least_that_makes_a_scenario() -> None:
    scenario = Scenario.parse(GOOD)
    assert (scenario.days, scenario.seed, scenario.powered) == (7, 1, "cleans")
    assert scenario.start_utc_ms == 1_772_431_200_000
    (clean,) = scenario.cleans
    assert (clean.at_ms, clean.duration_ms, clean.ended_by) == (9 * HOUR, 15 * MINUTE, "cut")
    assert clean.days == (1, 2, 3, 4, 5, 6, 7)
    assert set(clean.inputs) == {"suction", "brush"}


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_that_come_with_the_project_are_right(path: Path) -> None:
    scenario = Scenario.load(path)
    assert Scenario.load(path.stem).start_utc_ms == scenario.start_utc_ms


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (GOOD + "colour = 1", ["clean[1].colour", "unknown key", "duration"]),
        ('colour = "red"\n' + GOOD, ["colour", "unknown key", "product"]),
        (GOOD.replace('"vacuum"', '"hoover"'), ["product", "'hoover'", "vacuum_current"]),
        (GOOD.replace('product = "vacuum"', ""), ["product", "is missing"]),
        (GOOD.replace("days = 7", "days = 0"), ["days", "0 is not possible", "from 1 to 3660"]),
        (GOOD.replace("days = 7", "days = true"), ["days", "True is not possible"]),
        (GOOD.replace("2026-03-02T06:00:00Z", '"2026"'), ["start", "2026-03-02T00:00:00Z"]),
        (GOOD.replace("2026-03-02T06:00:00Z", "2026-03-02T06:00:00"), ["start", "UTC"]),
        (GOOD.replace("2026-03-02T06:00:00Z", "1999-03-02T06:00:00Z"), ["start", "from 2020"]),
        (GOOD.replace('"15 min"', '"15 minutes"'), ["clean[1].duration", "'15 minutes'", '"15 min"']),
        (GOOD.replace('"15 min"', '"-1 s"'), ["clean[1].duration", "'-1 s'"]),
        (GOOD.replace('"15 min"', '"2 d"'), ["clean[1].duration", "from 1 s to 1 d"]),
        (GOOD.replace('"09:00"', '"25:00"'), ["clean[1].at", "'25:00'", "time of day"]),
        (GOOD + "days = [8]", ["clean[1].days", "from 1 to 7"]),
        (GOOD + 'inputs = ["fan"]', ["clean[1].inputs", "suction, brush"]),
        (GOOD + 'inputs = { brush = { from = "14 min", for = "2 min" } }', ["clean[1].inputs.brush.for", "15 min"]),
        (GOOD + 'inputs = { brush = { since = "1 s" } }', ["clean[1].inputs.brush.since", "unknown key"]),
        (GOOD + 'ended_by = "magic"', ["clean[1].ended_by", '"cut", "switch"']),
        (GOOD + '[[press]]\nbutton = "doorbell"\nat = "day 1 09:01"', ["press[1].button", '"filter_button"']),
        (GOOD + '[[press]]\nbutton = "filter_button"\nat = "day 9 09:01"', ["press[1].at", "days 1 to 7"]),
        (GOOD + '[[press]]\nbutton = "filter_button"\nat = "soon"', ["press[1].at", "day 4 17:49:30"]),
        (GOOD + '[[press]]\nbutton = "filter_button"\nat = "day 1 05:00"', ["press[1].at", "before the scenario"]),
        (GOOD + '[[wifi_outage]]\nfrom = "day 1 10:00"', ["wifi_outage[1].for", "is missing"]),
        (
            GOOD + '[[wifi_outage]]\nfrom = "day 1 10:00"\nfor = "1 h"\nmode = "slow"',
            ["wifi_outage[1].mode", '"no_internet"'],
        ),
        (GOOD + "[household]\ncleans_a_day = 99", ["household.cleans_a_day", "from 0 to 24"]),
        (GOOD + '[household]\ncleans_a_day = 1\nduration = ["9 min", "3 min"]', ["household.duration", "more than"]),
        (GOOD + "[clock]\nntp = 1", ["clock.ntp", "true or false"]),
        (GOOD + '[[clock.jump]]\nat = "day 1 10:00"\nby = "soon"', ["clock.jump[1].by"]),
        (GOOD + '[[recording]]\nfile = "x.csv"\namps_full_scale = 20', ["recording[1].signal", "current"]),
        (GOOD + '[device]\nunique_id = "XYZ"', ["device.unique_id", "12 lower-case hex digits"]),
        (GOOD + "clean = 3", ["clean[1].clean", "unknown key"]),
        ("= 3", ["not TOML"]),
    ],
)
def test_what_is_wrong_is_named(text: str, parts: list[str]) -> None:
    message = refusal(text)
    for part in parts:
        assert part in message


def test_recordings_are_checked(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    scenario = tmp_path / "mine.toml"
    text = (
        GOOD.replace('"vacuum"', '"vacuum_current"')
        + '[[recording]]\nfile = "a.csv"\namps_full_scale = 10.0\nat = "day 1 10:00"\n'
    )

    def refused() -> str:
        scenario.write_text(text)
        with pytest.raises(ScenarioError) as caught:
            Scenario.load(scenario)
        return str(caught.value)

    assert "recording[1].file: 'a.csv' is not possible: no such file" in refused()
    csv.write_text("Time,Power\n1,2\n")
    assert "recording[1].column: 'RMS Current' is not possible: a.csv has Time, Power" in refused()
    csv.write_text("Time,RMS Current\n1,2\n2,much\n")
    assert "a.csv line 3: 'much' is not a number" in refused()
    csv.write_text("Time,RMS Current\n1,2\n2,12.5\n")
    assert "the recording has 12.5 A" in refused()
    csv.write_text("Time,RMS Current\n1,2\n2,9\n")
    assert Scenario.load(scenario).recordings[0].amperes == (2.0, 9.0)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ScenarioError, match="nowhere.toml: No such file"):
        Scenario.load("nowhere.toml")


def test_a_product_file_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "mine.toml").write_text(GOOD.replace('"vacuum"', '"mine.json"'))
    with pytest.raises(ScenarioError, match="mine.json: product: not a product file"):
        Scenario.load(tmp_path / "mine.toml")


def test_moments_count_from_the_start() -> None:
    text = GOOD + '[[wifi_outage]]\nfrom = "day 2 06:00:00.250"\nfor = "2 d"\n'
    (outage,) = Scenario.parse(text).wifi_outages
    assert (outage.start_ms, outage.end_ms) == (DAY + 250, 3 * DAY + 250)
