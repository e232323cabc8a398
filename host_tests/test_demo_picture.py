"""timeline.html: one file that needs nothing else, and says what happened in words too."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tools.demo import picture
from tools.demo.story import Mark, Part, Report, Row, Span, Story, Use

HOUR = 3_600_000
DAY = 24 * HOUR
FILTER, BRUSH = "Sensor.DustFilter", "Sensor.Brush"


@pytest.fixture
def story() -> Story:
    return Story(
        title="Three days <of> a vacuum",
        start_utc_s=1_772_431_200,
        duration_ms=3 * DAY,
        parts=[Part(1, FILTER, "Dust filter", "suction", 150), Part(2, BRUSH, "Brush & co", "brush", 300)],
        powered=[Span(3 * HOUR, 4 * HOUR), Span(30 * HOUR, 31 * HOUR)],
        inputs={"suction": [Span(3 * HOUR, 4 * HOUR), Span(30 * HOUR, 31 * HOUR)], "brush": [Span(3 * HOUR, 4 * HOUR)]},
        outages=[Span(10 * HOUR, 20 * HOUR, "gone", "no Wi-Fi")],
        clock_unknown=[Span(0, 4 * HOUR)],
        marks=[
            Mark(4 * HOUR, "cut", "power cut"),
            Mark(30 * HOUR, "replaced", "new dust filter fitted: button held 3 s", FILTER),
            Mark(31 * HOUR, "event-replaced", "Alexa is told: dust filter replaced"),
        ],
        reports=[Report(1, 3 * HOUR, 30 * HOUR), Report(2, 30 * HOUR, 31 * HOUR)],
        used={
            FILTER: [Use(0, 1, 0), Use(3 * HOUR, 1, 0), Use(4 * HOUR, 1, HOUR), Use(30 * HOUR, 2, 0)],
            BRUSH: [Use(0, 1, 0), Use(3 * HOUR, 1, 0), Use(4 * HOUR, 1, HOUR)],
        },
        known={FILTER: [Use(30 * HOUR, 1, HOUR)], BRUSH: []},
        rows=[Row(FILTER, 1, HOUR, HOUR - 400, 3599, 1), Row(BRUSH, 1, HOUR, HOUR - 400, 3599, 1)],
        messages=2,
        payload_bytes_max=30,
        scenario="three_days.toml",
        seed=7,
    )


def test_it_asks_for_nothing_from_elsewhere(story: Story) -> None:
    page = picture.html(story)
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\((?!#)|https?://(?!www\.w3\.org)""", page)


def test_the_drawing_is_well_formed_and_names_itself(story: Story) -> None:
    drawing = re.search(r"<svg class=\"run\".*?</svg>", picture.html(story), re.DOTALL)
    assert drawing
    root = ElementTree.fromstring(drawing[0])
    assert root.get("role") == "img"
    assert root.findtext("title") == "Three days <of> a vacuum"
    assert "Brush & co number 1 ran 1 h 0 min" in (root.findtext("desc") or "")


def test_every_lane_is_named(story: Story) -> None:
    page = picture.html(story)
    for name in ("Plugged in", "Suction motor", "Brush motor", "No way out", "Time unknown", "Reports", "Alexa events"):
        assert f">{name}</text>" in page
    assert ">Dust filter</text>" in page
    assert ">Brush &amp; co</text>" in page


def test_the_replacement_is_marked_and_the_curve_drops_there(story: Story) -> None:
    page = picture.html(story)
    assert "new one fitted" in page
    curves = re.findall(r'class="curve curve0" data-points="([^"]*)"', page)
    assert len(curves) == 2
    at, before, jump = curves[1].split(" ")[0].split(",")
    then, after = curves[1].split(" ")[1].split(",")[:2]
    assert (at, jump) == (then, "m")
    assert float(after) > float(before)  # downwards on a screen


def test_a_held_promise_and_a_broken_one_are_told_apart(story: Story) -> None:
    assert "The promise held." in picture.html(story)
    story.rows[0] = replace(story.rows[0], counted_ms=HOUR + 1)
    page = picture.html(story)
    assert "The promise was broken" in page
    assert "1 no. 1" not in page
    assert "Dust filter no. 1" in page
    assert "0.00 s more than the truth" in page


def test_a_name_cannot_break_out_of_the_page(story: Story) -> None:
    story.parts[0] = replace(story.parts[0], name="</script><script>alert(1)</script>")
    page = picture.html(story)
    assert "<script>alert" not in page
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data
    assert json.loads(data[1])["parts"][0]["name"] == "</script><script>alert(1)</script>"


@pytest.mark.parametrize("days", [1, 30, 366])
def test_a_longer_run_has_no_more_dates_than_there_is_room_for(story: Story, days: int) -> None:
    story.duration_ms = days * DAY
    labels = re.findall(r'class="day pick" x="([\d.]+)"', picture.html(story))
    assert labels
    positions = sorted(float(x) for x in labels)
    assert all(right - left >= 40 for left, right in zip(positions, positions[1:], strict=False))


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(400, "0.40 s"), (59_000, "59 s"), (60_000, "1 min"), (61_000, "1 min 1 s"), (3 * HOUR + 60_000, "3 h 1 min")],
)
def test_durations_are_said_as_people_say_them(milliseconds: int, words: str) -> None:
    assert picture.lasting(milliseconds) == words
