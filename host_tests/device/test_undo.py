"""A replacement: answered once in flash, undone for ten minutes across power cuts, told once and only if it stands."""

from house import House

from wearmeter import faults, wire
from wearmeter.drivers import led


def test_the_light_answers_only_after_the_replacement_is_in_flash():
    house = House("answer")
    house.run(0, 2000)
    house.press(0)
    assert house.patterns == [led.REPLACED] and house.at_light == [2, 1]
    assert house.flash().consumables[0].used_ms == 0


def test_where_flash_and_second_home_refuse_nothing_is_replaced_and_the_light_says_so():
    house = House("refuse")
    house.run(0, 2000)
    house.store.save = lambda payload, second_home=False: False
    house.press(0)
    assert house.patterns == [led.REFUSED] and house.generations() == [1, 1]
    assert house.ledger.consumables[0].used_ms == 2000


def test_an_undo_that_cannot_be_kept_is_refused_and_the_replacement_stands():
    house = House("refuse2")
    house.press(0)
    house.store.save = lambda payload, second_home=False: False
    house.press(0)
    assert house.patterns == [led.REPLACED, led.REFUSED] and house.generations() == [2, 1]


def test_a_second_long_press_undoes_it_as_if_nothing_had_been_pressed_also_after_power_cuts():
    for cuts in (0, 1, 3):
        house = House("undo%d" % cuts)
        house.run(0, 2000)
        house.press(0)
        for _ in range(cuts):
            house.wait(60)
            house.cut()
        house.run(0, 1000)
        house.press(0)
        assert house.patterns[-1] == led.UNDONE and house.generations() == [1, 1]
        assert house.ledger.consumables[0].used_ms == 3000
        house.wait(700)
        house.learn_time()
        house.go(500)
        assert house.queued(wire.REPLACEMENT) == []
        assert house.queued(wire.REPORT)[0][6][:4] == [1, 3, 1, 3]


def test_pressing_again_and_again_replaces_and_undoes_in_turn():
    house = House("again")
    for _ in range(3):
        house.press(0)
        house.press(0)
    house.press(0)
    assert house.patterns == [led.REPLACED, led.UNDONE] * 3 + [led.REPLACED] and house.generations() == [2, 1]


def test_after_ten_powered_minutes_it_is_told_once_and_the_next_press_is_a_new_one():
    house = House("told")
    house.run(0, 5000)
    house.press(0)
    house.wait(560)
    assert house.queued(wire.REPLACEMENT) == []
    house.wait(60)
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[6:] == [1, 2, 5, 5, 0]
    house.cut()
    house.run(0, 2000)
    house.press(0)
    assert house.patterns == [led.REPLACED] and house.generations() == [3, 1]
    house.wait(640)
    assert [fields[6:] for fields in house.queued(wire.REPLACEMENT)] == [[1, 2, 5, 5, 0], [1, 3, 7, 2, 0]]


def test_a_cut_between_queue_and_ledger_tells_it_once():
    house = House("between")
    house.press(0)
    house.ledger.consumables[0].replacement.left_s = 0
    house.reporter.step(house.ticks())  # in the queue; the ledger has not noted it
    house.cut()
    house.wait(700)
    house.press(0)
    assert len(house.queued(wire.REPLACEMENT)) == 1
    assert house.patterns == [led.REPLACED] and house.generations() == [3, 1]


def test_reports_speak_of_the_old_part_until_the_replacement_is_told():
    house = House("old")
    house.learn_time()
    house.run(0, 5000)
    house.press(0)
    house.run(0, 3000)
    house.reporter._report(house.outbox.last_period)
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 5, 1, 5]
    house.wait(620)
    house.reporter._report(house.outbox.last_period)
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 8, 2, 3]
    kinds = [entry[0] for entry in house.outbox.entries]
    assert kinds.index(wire.REPLACEMENT) < len(kinds) - 1


def test_ten_minutes_of_the_clock_count_where_the_power_was_off():
    house = House("off")
    house.learn_time()
    house.press(0)
    house.cut(off_s=700)
    house.go(500)
    assert house.queued(wire.REPLACEMENT) == []
    house.learn_time()
    house.go(500)
    assert len(house.queued(wire.REPLACEMENT)) == 1


def test_a_clock_that_jumps_ahead_does_not_end_the_ten_minutes():
    house = House("jump")
    house.learn_time()
    house.press(0)
    house.learn_time(error_s=86400)
    house.wait(60)
    assert house.queued(wire.REPLACEMENT) == []
    house.press(0)
    assert house.patterns == [led.REPLACED, led.UNDONE]


def test_both_buttons_at_once_are_two_replacements_each_undone_by_its_own():
    house = House("both")
    house.press(0, 1)
    assert house.generations() == [2, 2]
    house.press(1)
    assert house.generations() == [2, 1]


def test_a_button_that_is_held_at_boot_does_nothing_until_it_has_been_released():
    house = House("boot")
    house.hold(0, 0)
    house.cut()
    house.go(8000)
    assert house.generations() == [1, 1] and house.patterns == []
    house.hold(0, 1)
    house.go(300)
    house.press(0)
    assert house.generations() == [2, 1]


def test_a_stuck_button_is_a_fault_and_replaces_once():
    house = House("stuck")
    house.hold(1, 0)
    house.go(65000)
    assert house.generations() == [1, 2] and house.faults.bits & faults.BUTTON_STUCK
    assert house.queued(wire.FAULT)[-1][5] & faults.BUTTON_STUCK
    house.hold(1, 1)
    house.go(300)
    assert not house.faults.bits & faults.BUTTON_STUCK


def test_a_short_press_changes_nothing_and_shows_the_state():
    house = House("short")
    house.run(0, 1000)
    house.press(0, ms=1000)
    assert house.patterns == [led.STATE_GOOD] and house.generations() == [1, 1]
    house.ledger.consumables[0].saved_ms = 100 * 3600000
    house.press(0, ms=1000)
    assert house.patterns[-1] == led.STATE_DUE


def test_a_command_replaces_by_the_same_rules_and_in_the_same_sequence():
    house = House("command")
    house.run(0, 4000)
    house.command(5, wire.REPLACED, 0, 1)
    assert house.answers() == [(5, wire.DONE)] and house.generations() == [2, 1]
    house.wait(620)
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[6:] == [1, 2, 4, 4, 5]


def test_a_command_is_obeyed_once_also_across_a_power_cut():
    house = House("once")
    house.command(5, wire.REPLACED, 0, 1)
    house.answers()
    house.cut()
    house.command(5, wire.REPLACED, 0, 1)
    assert house.answers() == [(5, wire.ALREADY_DONE)] and house.generations() == [2, 1]


def test_a_command_that_a_newer_one_overtook_is_not_said_to_be_done():
    house = House("overtaken")
    house.command(6, wire.REPLACED, 0, 1)
    house.answers()
    house.command(5, wire.REPLACED, 1, 1)
    assert house.answers() == [(5, wire.REFUSED)] and house.generations() == [2, 1]


def test_a_command_for_another_part_than_the_fitted_one_is_refused():
    house = House("refused")
    for number, (index, generation) in enumerate(((0, 2), (0, 0), (2, 1), (7, 1)), 1):
        house.command(number, wire.REPLACED, index, generation)
        assert house.answers() == [(number, wire.REFUSED)]
    house.command(9, wire.UNDO, 0, 1)
    assert house.answers() == [(9, wire.NOT_NOW)] and house.generations() == [1, 1]


def test_button_and_command_undo_each_other():
    house = House("mixed")
    house.command(1, wire.REPLACED, 0, 1)
    house.answers()
    house.press(0)
    assert house.patterns == [led.UNDONE]
    house.press(1)
    house.command(2, wire.UNDO, 1, 2)
    assert house.answers() == [(2, wire.DONE)] and house.generations() == [1, 1]


def test_an_undo_that_strikes_while_the_loop_releases_wins_and_nothing_is_told():
    # The clock says the ten minutes are over, and the tick comes between that look and the release.
    house = House("race")
    house.learn_time()
    house.press(0)
    house.cut(off_s=700)
    house.clock.set(house.true_s)
    now = house.clock.now

    def undone_meanwhile():
        house.tick._undo(0)
        return now()

    house.clock.now = undone_meanwhile
    house.reporter._release()
    house.clock.now = now
    house.go(500)
    assert house.queued(wire.REPLACEMENT) == [] and house.generations() == [1, 1]


def test_a_tick_between_two_numbers_of_a_report_never_mixes_generations():
    house = House("mixture")
    house.learn_time()
    house.go(300)
    house.run(0, 3000)
    totals = house.reporter._totals
    struck = []

    def interrupted():
        found = totals()
        if not struck:
            struck.append(1)
            house.tick._replace(0, 0)
            house.tick.count += 1
            found[1] = 2
        return found

    house.reporter._totals = interrupted
    house.reporter._report(house.outbox.last_period)
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 3, 1, 3]
