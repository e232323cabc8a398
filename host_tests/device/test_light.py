"""The light plays patterns, and goes dark between the hint of a held button and its answer."""

from house import House

from wearmeter.device.testing import install, product
from wearmeter.inputs.testing import Pin
from wearmeter.panel import light
from wearmeter.panel.pixel import Pixel


def seen(made, pin, tenths, hint=False):
    levels = []
    for _ in range(tenths):
        levels.append(pin.level)
        made.tick(hint)
    return levels


def test_plays_on_and_off_in_tenths_of_a_second_and_ends_dark():
    pin = Pin()
    made = light.Light(pin, 1)
    made.play(bytes((2, 1, 1)))
    assert seen(made, pin, 6) == [1, 1, 0, 1, 0, 0]


def test_a_light_at_low_level_is_dark_at_high():
    pin = Pin()
    made = light.Light(pin, 0)
    assert pin.level == 1
    made.tick(True)
    assert pin.level == 0


def test_where_it_is_lit_already_it_goes_dark_before_it_answers():
    pin = Pin()
    made = light.Light(pin, 1)
    made.tick(True)
    made.play(bytes((3,)))
    assert seen(made, pin, 9) == [0] * 4 + [1] * 3 + [0] * 2


def test_when_the_three_seconds_are_reached_there_is_a_dark_moment_before_the_one_long_light():
    """Row 18: the hint and the answer ran into one another: on at 0.13 s, off at 4.94 s."""
    house = House("dark")
    levels = []
    house.button(1).level = 0
    for _ in range(60):
        house.go(100)
        levels.append(house.pins["status_led"].level)
    runs = []
    for level in levels:
        if not runs or runs[-1][0] != level:
            runs.append([level, 0])
        runs[-1][1] += 1
    assert [run[0] for run in runs] == [0, 1, 0, 1, 0], runs
    assert 27 <= runs[1][1] <= 31 and runs[2][1] == 4 and runs[3][1] == 20, runs


def test_a_pixel_stands_in_for_an_leds_pin():
    shown = []
    pixel = Pixel(shown.append, [0, 40, 0])
    pixel.value(1)
    pixel.value(0)
    assert shown == [[0, 40, 0], (0, 0, 0)]


def shown(pattern):
    """A pattern as a person sees it: a letter for each tenth of a second."""
    pin = Pin()
    made = light.Light(pin, 1)
    made.play(pattern)
    return "".join(["_#"[level] for level in seen(made, pin, 40)]).rstrip("_")


def test_the_light_says_what_the_owner_was_told_it_says():
    """README, "What the light says"."""
    assert shown(light.REPLACED) == "#" * 20
    assert shown(light.UNDONE) == "##__##__##"
    assert shown(light.REFUSED) == "#_#_#_#_#_#_#_#"
    assert shown(light.STATE_GOOD) == "#####"
    assert shown(light.STATE_SOON) == "#####_____#####"
    assert shown(light.STATE_DUE) == "#####_____#####_____#####"
    assert shown(light.FAULT) == "#_#_____#_#"


def test_a_products_pixel_lights_in_its_colour_and_goes_dark():
    fields = product()
    fields[5] = ["status_led", 1, [0, 40, 0]]
    house = House("pixel")
    install("product", fields, house.root)
    house.cut()
    house.button(1).level = 0
    house.go(1000)
    house.button(1).level = 1
    house.go(3000)
    changes = [color for at, color in enumerate(house.board.shown) if not at or color != house.board.shown[at - 1]]
    assert [list(color) for color in changes] == [[0, 0, 0], [0, 40, 0]] * 2 + [[0, 0, 0]]
