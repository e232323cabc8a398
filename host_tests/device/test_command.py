"""A command of the relay replaces and undoes by the same rules as the button, exactly once."""

from house import House

from wearmeter.exchange import wire
from wearmeter.panel import light
from wearmeter.state import events


def test_a_command_replaces_by_the_same_rules_and_in_the_same_sequence():
    house = House("command")
    house.run(1, 4100)
    house.command(5, wire.REPLACED, 1, 1)
    assert house.answers() == [(5, wire.DONE)] and house.generations() == [2, 1]
    house.wait(620)
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[6:] == [1, 2, 4, 4, 5]


def test_a_command_is_obeyed_once_also_across_a_power_cut():
    house = House("once")
    house.command(5, wire.REPLACED, 1, 1)
    house.answers()
    house.cut()
    house.command(5, wire.REPLACED, 1, 1)
    assert house.answers() == [(5, wire.ALREADY_DONE)] and house.generations() == [2, 1]


def test_a_command_that_a_newer_one_overtook_is_not_said_to_be_done():
    house = House("overtaken")
    house.command(6, wire.REPLACED, 1, 1)
    house.answers()
    house.command(5, wire.REPLACED, 2, 1)
    assert house.answers() == [(5, wire.REFUSED)] and house.generations() == [2, 1]


def test_a_command_for_another_part_than_the_fitted_one_is_refused():
    house = House("refused")
    for number, (identity, generation) in enumerate(((1, 2), (1, 0), (3, 1), (8, 1), (0, 1)), 1):
        house.command(number, wire.REPLACED, identity, generation)
        assert house.answers() == [(number, wire.REFUSED)]
    house.command(9, wire.UNDO, 1, 1)
    assert house.answers() == [(9, wire.NOT_NOW)] and house.generations() == [1, 1]


def test_a_huge_number_blocks_no_later_command():
    """Row 20: it is refused, and the next number in order is obeyed."""
    house = House("huge")
    house.command(0xFFFFFFFF, wire.REPLACED, 1, 1)
    assert house.answers() == [(0xFFFFFFFF, wire.REFUSED)]
    house.command(1, wire.REPLACED, 1, 1)
    assert house.answers() == [(1, wire.DONE)] and house.generations() == [2, 1]


def test_button_and_command_undo_each_other():
    house = House("mixed")
    house.command(1, wire.REPLACED, 1, 1)
    house.answers()
    house.undo(1)
    assert house.patterns == [light.REPLACED, light.UNDONE]
    house.press(2)
    house.command(2, wire.UNDO, 2, 2)
    assert house.answers() == [(2, wire.DONE)] and house.generations() == [1, 1]


def test_no_command_raises_or_lowers_a_count():
    house = House("count")
    house.run(1, 5000)
    house.run(2, 7000)
    before = house.lifetimes()
    number = 0
    for operation in (wire.REPLACED, wire.UNDO, wire.REPORT_NOW):
        for identity in (0, 1, 2, 8, 0xFFFFFFFF):
            for generation in (0, 1, 2, 65535, 0xFFFFFFFF):
                number += 1
                house.command(number, operation, identity, generation)
                house.acknowledge_all()
    assert house.lifetimes() == before


def test_a_flood_of_commands_is_answered_one_by_one_and_cannot_fill_the_queue():
    house = House("flood")
    house.acknowledge_all()
    for number in range(1, 300):
        house.say(wire.COMMAND, number, wire.REPLACED, 1, house.part(1).generation)
    assert len(house.entries(wire.ANSWER)) == 1
    assert house.state.queue.end - house.state.queue._start < 400


def test_a_flood_of_report_now_makes_no_more_than_one_report_for_each_answer_that_arrives():
    house = House("reports")
    house.learn_time()
    house.go(1500)
    house.acknowledge_all()
    first = house.state.numbers.next_sequence
    for number in range(1, 300):
        house.say(wire.COMMAND, number, wire.REPORT_NOW)
    assert house.state.numbers.next_sequence - first == 2


def test_a_report_is_asked_for_at_most_once_in_two_seconds():
    house = House("now")
    house.learn_time()
    house.go(5000)
    house.command(1, wire.REPORT_NOW, 0, 0)
    assert house.answers() == [(1, wire.DONE)]
    reports = len(house.queued(wire.REPORT))
    assert not house.state.apply((events.COMMANDED, 2, wire.REPORT_NOW, 0, 0)) and not house.answers()
    house.go(2000)
    house.command(2, wire.REPORT_NOW, 0, 0)
    assert house.answers() == [(2, wire.DONE)] and len(house.queued(wire.REPORT)) == reports + 1


def test_a_number_that_no_relay_can_have_come_to_is_refused_and_does_not_block_those_after_it():
    """Row 20: a huge command number blocked all later ones."""
    house = House("huge")
    for number, result in ((0xFFFFFFFF, wire.REFUSED), (1000001, wire.REFUSED), (1000000, wire.DONE)):
        house.command(number, wire.REPLACED, 1, 1)
        assert house.answers() == [(number, result)], number
    house.command(1000001, wire.UNDO, 1, 2)
    assert house.answers() == [(1000001, wire.DONE)]
