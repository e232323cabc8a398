"""A held button replaces a part: answered once it is in flash, told once when it can no longer be undone."""

from house import House

from wearmeter.exchange import wire
from wearmeter.panel import light
from wearmeter.state import faults


def test_the_light_answers_only_after_the_replacement_is_in_flash():
    house = House("answer")
    house.run(1, 2000)
    house.press(1)
    assert house.patterns == [light.REPLACED] and house.at_light == [2, 1]
    assert house.flash()[0].used_ms == 0


def test_where_flash_and_backup_refuse_nothing_is_replaced_and_the_light_says_so():
    house = House("refuse")
    house.run(1, 2000)
    house.refuse()
    house.press(1)
    assert house.patterns == [light.REFUSED] and house.generations() == [1, 1]
    assert house.part(1).used_ms == 2000 and house.state.faults.bits & faults.WRITE_FAILED


def test_after_ten_powered_minutes_it_is_told_once_and_the_next_press_is_a_new_one():
    house = House("told")
    house.run(1, 5100)
    house.press(1)
    house.wait(560)
    assert house.queued(wire.REPLACEMENT) == []
    house.wait(60)
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[6:] == [1, 2, 5, 5, 0]
    house.cut()
    house.run(1, 2100)
    house.press(1)
    assert house.patterns == [light.REPLACED] and house.generations() == [3, 1]
    house.wait(640)
    assert [fields[6:] for fields in house.queued(wire.REPLACEMENT)] == [[1, 2, 5, 5, 0], [1, 3, 7, 2, 0]]


def test_a_release_is_one_write_so_that_a_cut_before_or_after_it_tells_it_once():
    for refused in (False, True):
        house = House("release%d" % refused)
        house.press(1)
        house.part(1).replacement.left_s = 0
        if refused:  # as at a cut before the write
            house.refuse()
        house.go(1100)
        assert bool(house.queued(wire.REPLACEMENT)) != refused
        house.backups["ledger"].refuse = False
        house.cut()
        house.wait(700)
        assert len(house.queued(wire.REPLACEMENT)) == 1 and house.part(1).replacement is None


def test_reports_speak_of_the_old_part_until_the_replacement_is_told():
    """Row 14: the used time that a report gives while a replacement can be undone, be it the second one."""
    house = House("old")
    house.learn_time()
    house.run(1, 5100)
    house.press(1)
    house.run(1, 3100)
    house.report()
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 5, 1, 5]
    house.wait(620)
    house.report()
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 8, 2, 3]
    house.press(1)
    house.run(1, 2100)
    house.report()
    # The part that was taken out second: 8 s of life, of which it ran 3.
    assert house.queued(wire.REPORT)[-1][6][:4] == [1, 8, 2, 3]
    kinds = [entry.kind for entry in house.entries()]
    assert kinds.index(wire.REPLACEMENT) < len(kinds) - 2


def test_ten_minutes_of_the_clock_count_where_the_power_was_off():
    house = House("off")
    house.learn_time()
    house.press(1)
    house.cut(off_s=700)
    house.go(1500)
    assert house.queued(wire.REPLACEMENT) == []
    house.learn_time()
    house.go(1500)
    assert len(house.queued(wire.REPLACEMENT)) == 1


def test_a_clock_that_jumps_ahead_does_not_end_the_ten_minutes():
    house = House("jump")
    house.learn_time()
    house.press(1)
    house.learn_time(error_s=86400)
    house.wait(60)
    assert house.queued(wire.REPLACEMENT) == []
    house.undo(1)
    assert house.patterns[-1] == light.UNDONE


def test_both_buttons_at_once_are_two_replacements_each_undone_by_its_own():
    house = House("both")
    house.press(1, 2)
    assert house.generations() == [2, 2]
    house.undo(2)
    assert house.generations() == [2, 1]


def test_a_button_that_is_held_at_boot_does_nothing_until_it_has_been_released():
    house = House("boot")
    house.button(1).level = 0
    house.cut()
    house.go(12000)
    assert house.generations() == [1, 1] and house.patterns == []
    house.button(1).level = 1
    house.go(300)
    house.press(1)
    assert house.generations() == [2, 1]


def test_a_stuck_button_is_a_fault_and_replaces_once():
    house = House("stuck")
    house.button(2).level = 0
    house.go(66000)
    assert house.generations() == [1, 2] and house.state.faults.bits & faults.BUTTON_STUCK
    assert house.queued(wire.FAULT)[-1][5] & faults.BUTTON_STUCK
    house.button(2).level = 1
    house.go(300)
    assert not house.state.faults.bits & faults.BUTTON_STUCK


def test_a_short_press_changes_nothing_and_shows_the_state():
    house = House("short")
    house.run(1, 1000)
    house.press(1, ms=1000)
    assert house.patterns == [light.STATE_GOOD] and house.generations() == [1, 1]
    for hours, pattern in ((90, light.STATE_SOON), (100, light.STATE_DUE)):
        house.part(1).saved_ms = hours * 3600000
        house.press(1, ms=1000)
        assert house.patterns[-1] == pattern
    house.state.faults.set(faults.SAFE_MODE, True)
    house.part(1).saved_ms = 0
    house.press(1, ms=1000)
    assert house.patterns[-1] == light.FAULT
