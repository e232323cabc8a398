"""A replacement can be undone for ten minutes by holding the button for ten seconds; no other gesture undoes it."""

from house import House

from wearmeter.exchange import wire
from wearmeter.panel import light


def test_holding_for_ten_seconds_undoes_it_as_if_nothing_had_been_pressed_also_after_power_cuts():
    for cuts in (0, 1, 3):
        house = House("undo%d" % cuts)
        house.run(1, 2000)
        house.press(1)
        for _ in range(cuts):
            house.wait(60)
            house.cut()
        house.run(1, 1100)
        house.undo(1)
        assert house.patterns[-1] == light.UNDONE and house.generations() == [1, 1]
        assert 3090 <= house.part(1).used_ms <= 3100
        house.wait(700)
        house.learn_time()
        house.go(1500)
        assert house.queued(wire.REPLACEMENT) == []
        assert house.queued(wire.REPORT)[0][6][:4] == [1, 3, 1, 3]


def test_pressing_again_to_be_sure_only_confirms():
    house = House("sure")
    house.run(1, 2000)
    house.press(1)
    fitted_ms = house.part(1).fitted_at_ms
    for _ in range(3):
        house.press(1)
    assert house.patterns == [light.REPLACED] * 4
    assert house.generations() == [2, 1] and house.part(1).fitted_at_ms == fitted_ms


def test_the_press_that_replaced_does_not_undo_however_long_it_is_held():
    house = House("long")
    house.press(1, ms=20000)
    assert house.generations() == [2, 1]
    assert light.UNDONE not in house.patterns


def test_an_undo_that_cannot_be_kept_is_refused_and_the_replacement_stands():
    house = House("refuse")
    house.press(1)
    house.refuse()
    house.undo(1)
    assert house.patterns[-1] == light.REFUSED and house.generations() == [2, 1]


def test_after_ten_minutes_holding_for_ten_seconds_is_a_new_replacement():
    house = House("over")
    house.press(1)
    house.wait(620)
    house.undo(1)
    assert house.generations() == [3, 1] and light.UNDONE not in house.patterns


def test_an_undo_after_the_end_of_the_ten_minutes_but_before_the_release_is_refused():
    house = House("end")
    house.press(1)
    house.part(1).replacement.left_s = 0
    assert not house.state._undo(1)
    assert house.generations() == [2, 1]
