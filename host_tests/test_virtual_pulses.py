"""Storms on pins, PWM and the chip's pulse counter."""

import time
from pathlib import Path

import pytest

from tools.simulator.testing import Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


STORMED = (
    "import time, machine\nedges = []\nticks = []\n"
    "pin = machine.Pin(4, machine.Pin.IN)\n"
    "{irq}"
    "machine.Timer(0, period=100, callback=lambda t: ticks.append(1))\n"
    "time.sleep(5)\nprint(len(edges), len(ticks), pin.value())\n"
)
IRQ = "pin.irq(lambda p: edges.append(1), machine.Pin.IRQ_{})\n"


def test_a_slow_storm_interrupts_at_each_edge_that_was_asked_for(board: Board) -> None:
    for trigger, expected in (("RISING", 100), ("FALLING", 100), ("RISING | machine.Pin.IRQ_FALLING", 200)):
        run = board.power(STORMED.format(irq=IRQ.format(trigger)), [[1000, "storm", 4, 50, 2000]])
        assert run.lines[0].split() == [str(expected), "50", "0"]
        assert run.end["dropped_callbacks"] == 0


def test_a_storm_of_10_khz_fills_the_queue_and_the_rest_is_dropped_and_counted(board: Board) -> None:
    run = board.power(STORMED.format(irq=IRQ.format("RISING")), [[1000, "storm", 4, 10_000, 2000]], storm=True)
    edges, ticks, level = (int(word) for word in run.lines[0].split())
    dropped = run.end["dropped_callbacks"]
    assert edges + ticks + dropped == 2 * 10_000 + 50  # each ran or was dropped
    assert dropped > 10_000
    assert level == 0


def test_a_storm_that_nobody_listens_to_costs_nothing_for_an_hour(board: Board) -> None:
    began = time.monotonic()
    run = board.power(
        STORMED.format(irq="").replace("time.sleep(5)", "time.sleep(3700)"),
        [[1000, "storm", 4, 10_000, 3_600_000]],
        end_ms=3_710_000,
    )
    assert int(run.lines[0].split()[1]) > 36_000
    assert run.end["dropped_callbacks"] == 0
    assert time.monotonic() - began < 20


def test_reading_a_stormed_pin_gives_the_level_of_that_moment(board: Board) -> None:
    run = board.power(
        "import time, machine\npin = machine.Pin(4, machine.Pin.IN)\n"
        "time.sleep_ms(1004)\nlevels = []\n"
        "for _ in range(6):\n    levels.append(pin.value())\n    time.sleep_us(9980)\nprint(levels)\n",
        [[1000, "storm", 4, 50, 2000]],
    )
    assert run.lines[0] == "[0, 1, 0, 1, 0, 1]"


COUNTER = "import time\nfrom machine import Pin, PWM\nfrom esp32 import PCNT\n"


def test_there_is_a_pulse_counter_only_where_the_session_says_so(board: Board) -> None:
    main = "import esp32\nprint(hasattr(esp32, 'PCNT'))\n"
    assert board.power(main).lines[0] == "False"
    assert board.power(main, pcnt=True).lines[0] == "True"


def test_the_pulse_counter_counts_the_edges_it_was_told_to(board: Board) -> None:
    run = board.power(
        COUNTER + "up = PCNT(0, pin=Pin(4, Pin.IN), rising=PCNT.INCREMENT)\n"
        "both = PCNT(1, pin=Pin(4), rising=PCNT.INCREMENT, falling=PCNT.INCREMENT)\n"
        "down = PCNT(2, pin=Pin(4), falling=PCNT.DECREMENT)\n"
        "idle = PCNT(3, pin=Pin(4), rising=PCNT.INCREMENT)\n"
        "for counter in (up, both, down):\n    counter.start()\n"
        "time.sleep(3)\nprint(up.value(), both.value(), down.value(), idle.value())\n"
        "print(up.value(0), up.value(), PCNT(0) is up)\nup.stop()\ntime.sleep(3)\nprint(up.value())\n",
        [[1000 + 100 * i, "pin", 4, 1 - i % 2] for i in range(9)] + [[4000, "pin", 4, 0], [4500, "pin", 4, 1]],
        pcnt=True,
    )
    assert run.lines[:3] == ["5 9 -4 0", "5 0 True", "0"]


def test_a_clock_gated_by_the_motors_pin_counts_milliseconds_whatever_python_does(board: Board) -> None:
    run = board.power(
        COUNTER + "counter = PCNT(0, pin=Pin(25), rising=PCNT.INCREMENT, falling=PCNT.INCREMENT, mode_pin=Pin(4),\n"
        "    mode_low=PCNT.HOLD, mode_high=PCNT.NORMAL, max=32767)\n"
        "PWM(Pin(25), freq=500, duty_u16=32768)\nPin(4, Pin.IN, Pin.PULL_DOWN)\ncounter.start()\n"
        "while time.ticks_ms() < 8000:\n    with open('/x', 'w') as file:\n        file.write('busy')\n"
        "print(counter.value())\n",
        [[1000, "pin", 4, 1], [3500, "pin", 4, 0], [5000, "pin", 4, 1], [5007, "pin", 4, 0]],
        pcnt=True,
    )
    assert abs(int(run.lines[0]) - 2507) <= 2


def test_a_pulse_counter_begins_again_at_its_limit_and_refuses_what_the_chip_refuses(board: Board) -> None:
    run = board.power(
        COUNTER + "clock = Pin(25)\ncounter = PCNT(0, pin=clock, rising=PCNT.INCREMENT, max=1000)\n"
        "PWM(clock, freq=1250, duty_u16=32768)\ncounter.start()\n"
        "time.sleep(1)\ntime.sleep_ms(876)\nprint(counter.value())\n"
        "for bad in (lambda: PCNT(8), lambda: PCNT(0, max=40000), lambda: PCNT(0, mode_pin=clock),\n"
        "    lambda: PCNT(0, filter=2000), lambda: counter.value(1), lambda: PCNT(0, rising=3)):\n"
        "    try:\n        bad()\n    except ValueError as error:\n        print(error)\n",
        pcnt=True,
    )
    assert abs(int(run.lines[0]) - 345) <= 2
    assert run.lines[1:7] == ["invalid id", "maximum", "pin", "filter", "value", "rising"]


def test_a_reversed_counter_counts_down_and_a_filter_leaves_a_storm_out(board: Board) -> None:
    run = board.power(
        COUNTER + "a = PCNT(0, pin=Pin(4, Pin.IN), rising=PCNT.INCREMENT, mode_pin=Pin(5, Pin.IN, Pin.PULL_UP),\n"
        "    mode_high=PCNT.REVERSE)\n"
        "b = PCNT(1, pin=Pin(4), rising=PCNT.INCREMENT, filter=1000)\n"
        "a.start()\nb.start()\ntime.sleep(2)\nprint(a.value(), b.value())\n",
        [[1000, "storm", 4, 50_000, 100]],
        pcnt=True,
    )
    assert run.lines[0] == "-5000 0"


def test_a_pwm_has_the_frequency_that_the_chips_divider_gives(board: Board) -> None:
    counts = {}
    for hertz in (500, 1000, 1250):
        run = board.power(
            COUNTER + f"counter = PCNT(0, pin=Pin(25), rising=PCNT.INCREMENT, max=32767)\n"
            f"PWM(Pin(25), freq={hertz}, duty_u16=32768)\ncounter.start()\ntime.sleep(20)\nprint(counter.value())\n",
            pcnt=True,
            end_ms=30_000,
        )
        counts[hertz] = int(run.lines[0])
    assert abs(counts[500] - 10_000) <= 2 and abs(counts[1250] - 25_000) <= 2
    assert abs(counts[1000] - 19_968) <= 2


def test_a_pin_given_to_the_counter_is_an_input_pulled_up_and_no_pwm_any_more(board: Board) -> None:
    run = board.power(
        COUNTER
        + "motor = Pin(4, Pin.IN, Pin.PULL_DOWN)\nprint(motor.value())\nPWM(Pin(25), freq=500, duty_u16=32768)\n"
        "counter = PCNT(0, pin=Pin(25), rising=PCNT.INCREMENT, mode_pin=motor, max=32767)\ncounter.start()\n"
        "time.sleep(2)\nprint(motor.value(), counter.value())\n",
        pcnt=True,
    )
    assert run.lines[:2] == ["0", "1 0"]


PULSE = "import time, machine\npin = machine.Pin(4, machine.Pin.IN)\nwait = machine.time_pulse_us\n"


def test_a_timed_pulse_is_waited_for_and_then_lasts_as_long_as_its_level(board: Board) -> None:
    run = board.power(
        PULSE + "print(wait(pin, 1, 2_000_000), wait(pin, 0, 15_000), wait(pin, 1, 15_000))\n"
        "time.sleep_us(300)\nprint(wait(pin, pin.value(), 15_000))\n"
        "time.sleep_ms(1000)\nprint(wait(pin, 1, 3_000_000))\n",
        [[1000, "storm", 4, 250, 1000], [2500, "pin", 4, 1], [2507, "pin", 4, 0]],
    )
    assert run.lines[0] == "2000 1980 1980", "each call takes 20 us of the level that it finds"
    assert 1_500 < int(run.lines[1]) < 1_700, "what is left of a level that is there"
    assert run.lines[2] == "7000"


def test_a_pulse_that_does_not_come_or_does_not_end_is_given_up_after_the_timeout(board: Board) -> None:
    run = board.power(
        PULSE + "def timed(level, timeout):\n"
        "    began = time.ticks_us()\n    print(wait(pin, level, timeout), (time.ticks_us() - began) // 1000)\n"
        "timed(1, 15_000)\ntimed(0, 15_000)\ntimed(1, 3_000_000)\n",
        [[1000, "pin", 4, 1]],
    )
    assert run.lines[:2] == ["-2 15", "-1 15"]
    given_up, took_ms = (int(word) for word in run.lines[2].split())
    assert given_up == -1 and 3_950 <= took_ms <= 4_000, "the timeout begins anew with the pulse"


def test_no_callback_runs_while_c_waits_for_a_pulse(board: Board) -> None:
    run = board.power(
        PULSE + "ticks = []\nmachine.Timer(0, period=100, callback=lambda t: ticks.append(1))\n"
        "time.sleep_ms(50)\nwait(pin, 1, 500_000)\nran = len(ticks)\ntime.sleep_ms(1)\nprint(ran, len(ticks))\n"
    )
    assert run.lines[0] == "0 5"
    assert run.end["dropped_callbacks"] == 0
