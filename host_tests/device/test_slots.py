"""Which slot runs: the one chosen; the other where it cannot start, or crashes again and again."""

from wearmeter.device.slots import Slots, read


class Unit:
    """The file that says so, and what is wrong with the files of each slot."""

    def __init__(self, text, wrong=()):
        self.wrong = dict(wrong)
        with open("slot", "w") as file:
            file.write(text)

    def running(self, slot):
        return Slots(slot, lambda name: self.wrong.get(name, ""), "slot")


def test_a_firmware_that_crashes_gives_way_to_the_other_slot_once():
    """Row 4: a firmware that crashed went to safe mode in its own slot, and the one that had worked was not tried."""
    unit = Unit("fw_b ")
    assert unit.running("fw_b").switch()
    assert read("slot") == ("fw_a", "fw_b")
    assert not unit.running("fw_a").switch(), "that one has been given up"
    assert read("slot") == ("fw_a", "fw_b")


def test_a_deploy_chooses_anew_and_may_go_back_again():
    unit = Unit("fw_b fw_b\n")
    with open("slot", "w") as file:
        file.write("fw_b ")
    assert unit.running("fw_b").switch()


def test_a_slot_that_is_not_whole_is_not_switched_to():
    unit = Unit("fw_a ", {"fw_b": "wm_count.mpy"})
    assert not unit.running("fw_a").switch()


def test_where_the_chosen_slot_could_not_start_the_one_that_runs_is_chosen():
    unit = Unit("fw_b ")
    slots = unit.running("fw_a")
    assert slots.settle() and (slots.chosen, slots.given_up) == ("fw_a", "fw_b")
    assert not unit.running("fw_a").settle()


def test_a_firmware_beside_main_or_frozen_has_no_slot():
    unit = Unit("fw_b ", {"": "never asked"})
    slots = unit.running("")
    assert not slots.settle() and not slots.switch() and slots.complaint() == ""


def test_what_is_wrong_with_the_running_slot_is_said():
    unit = Unit("fw_a ", {"fw_a": "wm_tls.mpy"})
    assert unit.running("fw_a").complaint() == "wm_tls.mpy"


def test_a_file_that_is_not_there_or_nonsense_names_no_slot():
    assert read("no_such_file") == ("", "")
    for text in ("", " ", "\n"):
        Unit(text)
        assert read("slot") == ("", "")
