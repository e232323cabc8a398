"""Pins, interrupts, timers, watchdog, ADC, resets and NVS of the virtual board behave as on the ESP32."""

from pathlib import Path

import pytest

from tools.simulator.process import DroppedCallbacks
from tools.simulator.testing import Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def test_an_edge_interrupt_runs_at_the_very_millisecond(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "pin = machine.Pin(4, machine.Pin.IN, machine.Pin.PULL_DOWN)\n"
        "both = machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING\n"
        "pin.irq(lambda p: print(p is pin, p.value(), time.ticks_ms()), both)\n"
        "time.sleep(10)\n",
        events=[[1234, "pin", 4, 1], [1235, "pin", 4, 1], [5678, "pin", 4, 0]],
    )
    assert run.lines[:2] == ["True 1 1234", "True 0 5678"]
    assert len(run.lines) == 2


def test_an_interrupt_hears_only_the_edges_it_asked_for(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "machine.Pin(4, machine.Pin.IN).irq(lambda p: print(p.value(), time.ticks_ms()), machine.Pin.IRQ_FALLING)\n"
        "time.sleep(5)\nmachine.Pin(4).irq(None)\ntime.sleep(5)\n",
        events=[[1000, "pin", 4, 1], [2000, "pin", 4, 0], [6000, "pin", 4, 1], [7000, "pin", 4, 0]],
    )
    assert run.lines[:1] == ["0 2000"]
    assert "7000" not in run.text


def test_an_input_that_nothing_drives_follows_its_pull(board: Board) -> None:
    run = board.power(
        "from machine import Pin\n"
        "print(Pin(18, Pin.IN, Pin.PULL_UP).value(), Pin(19, Pin.IN, Pin.PULL_DOWN).value(), Pin(18) is Pin(18))\n"
        "for bad in (lambda: Pin(40), lambda: Pin(34, Pin.OUT)):\n"
        "    try:\n        bad()\n    except ValueError as error:\n        print(error)\n"
    )
    assert run.lines[:3] == ["1 0 True", "invalid pin", "pin can only be input"]


def test_outputs_are_traced_when_asked(board: Board) -> None:
    run = board.power(
        "import machine, time\nled = machine.Pin(2, machine.Pin.OUT)\nled.on()\ntime.sleep(1)\nled(0)\nled.off()\n",
        trace_outputs=True,
    )
    assert run.lines[:2] == ["pin gpio=2 value=1", "pin gpio=2 value=0"]
    assert run.stamps_ms[:2] == [0, 1000]


def test_the_adc_has_twelve_bits_scaled_to_sixteen(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "adc = machine.ADC(machine.Pin(34), atten=machine.ADC.ATTN_11DB)\n"
        "print(adc.read_u16())\ntime.sleep(2)\nprint(adc.read_u16(), adc.read())\n",
        events=[[1000, "adc", 34, 40_000]],
    )
    assert run.lines[:2] == ["0", f"{(40_000 >> 4) << 4 | 40_000 >> 12} {40_000 >> 4}"]


def test_adc2_is_not_to_be_had_while_the_radio_is_on(board: Board) -> None:
    run = board.power(
        "import machine, network, errno\n"
        "adc = machine.ADC(machine.Pin(4))\nprint(adc.read_u16())\n"
        "network.WLAN(network.STA_IF).active(True)\n"
        "try:\n    adc.read_u16()\nexcept OSError as error:\n    print(error.errno == errno.ETIMEDOUT)\n"
    )
    assert run.lines[:2] == ["0", "True"]


def test_a_periodic_timer_keeps_its_beat_and_a_one_shot_fires_once(board: Board) -> None:
    run = board.power(
        "import time\nfrom machine import Timer\n"
        "beats = []\nonce = []\n"
        "timer = Timer(0, mode=Timer.PERIODIC, period=100, callback=lambda t: beats.append(time.ticks_ms()))\n"
        "Timer(-1, mode=Timer.ONE_SHOT, period=250, callback=lambda t: once.append(time.ticks_ms()))\n"
        "time.sleep(1)\ntimer.deinit()\ntime.sleep(1)\n"
        "print(beats == list(range(100, 1001, 100)), once)\n"
        "try:\n    Timer(4)\nexcept ValueError:\n    print('no')\n"
    )
    assert run.lines[:2] == ["True [250]", "no"]


def test_callbacks_are_never_nested_and_what_comes_meanwhile_runs_after(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "depth = 0\n"
        "def tick(t):\n"
        "    global depth\n"
        "    depth += 1\n    assert depth == 1\n    time.sleep_ms(250)\n    depth -= 1\n"
        "machine.Pin(4, machine.Pin.IN).irq(lambda p: print('edge', depth, time.ticks_ms()))\n"
        "machine.Timer(0, period=1000, callback=tick)\n"
        "time.sleep(5)\nprint('end')\n",
        events=[[1100, "pin", 4, 1]],
    )
    assert run.lines[:2] == ["edge 0 1250", "end"]


TWENTY_EDGES_IN_A_CALLBACK = (
    "import time, machine\n"
    "edges = []\n"
    "machine.Pin(4, machine.Pin.IN).irq(lambda p: edges.append(1))\n"
    "machine.Timer(0, mode=machine.Timer.ONE_SHOT, period=1000, callback=lambda t: time.sleep_ms(500))\n"
    "time.sleep(5)\nprint(len(edges))\n"
)
TWENTY_EDGES = [[1100 + i, "pin", 4, 1 - i % 2] for i in range(20)]


def test_the_queue_of_callbacks_holds_eight(board: Board) -> None:
    """MICROPY_SCHEDULER_DEPTH: what comes while it is full is lost, edges of a chattering contact for example."""
    run = board.power(TWENTY_EDGES_IN_A_CALLBACK, TWENTY_EDGES, storm=True)
    assert run.lines[0] == "8"
    assert run.end["dropped_callbacks"] == 12


def test_a_run_that_dropped_a_callback_has_failed_unless_it_says_that_there_is_a_storm(board: Board) -> None:
    with pytest.raises(DroppedCallbacks, match="12 callbacks"):
        board.power(TWENTY_EDGES_IN_A_CALLBACK, TWENTY_EDGES)


def test_an_exception_in_a_callback_is_printed_and_the_timer_goes_on(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "def tick(t):\n    raise ValueError('boom')\n"
        "machine.Timer(0, period=1000, callback=tick)\ntime.sleep_ms(2500)\nprint('alive')\n"
    )
    assert run.text.count("ValueError: boom") >= 2
    assert "alive" in run.lines


def test_with_all_inputs_at_rest_a_timer_is_stretched_and_an_edge_brings_its_beat_back(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "beats = []\n"
        "machine.Timer(0, period=100, callback=lambda t: beats.append(time.ticks_ms()))\n"
        "def between(a, b):\n    return [beat for beat in beats if a <= beat < b]\n"
        "time.sleep(90)\n"
        "print(len(between(0, 15000)), len(between(20000, 30000)), between(40000, 40401),\n"
        "    len(between(41000, 61000)))\n",
        events=[[40_250, "pin", 4, 1], [60_000, "pin", 4, 0]],
        end_ms=100_000,
    )
    at_first, stretched, around_the_edge, running = run.lines[0].split(" ", 2)[0:2] + run.lines[0].rsplit("] ", 1)
    assert int(at_first) == 149
    assert int(stretched) == 10
    assert around_the_edge.endswith("40300, 40400")
    assert int(running) == 200


def test_a_watchdog_that_is_fed_stays_quiet_and_one_that_is_not_resets_the_chip(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "try:\n"
        "    dog = machine.WDT(timeout=3000)\n"
        "    for _ in range(5):\n        time.sleep(2)\n        dog.feed()\n"
        "    print('fed', time.ticks_ms())\n    time.sleep(10)\n"
        "finally:\n    print('finally')\n",
        end_ms=60_000,
    )
    assert run.lines == ["fed 10000"]
    assert run.end["reason"] == "watchdog"
    assert run.end["now_us"] // 1000 == 13_000


def test_the_watchdog_bites_in_a_blocked_callback_too(board: Board) -> None:
    run = board.power(
        "import time, machine\nmachine.WDT(timeout=3000)\n"
        "machine.Timer(0, mode=0, period=100, callback=lambda t: time.sleep(100))\ntime.sleep(200)",
        end_ms=300_000,
    )
    assert run.end["reason"] == "watchdog"


def test_the_power_cut_leaves_no_time_for_a_finally(board: Board) -> None:
    run = board.power("import time\ntry:\n    time.sleep(99)\nfinally:\n    print('finally')\n", end_ms=4_321)
    assert run.lines == []
    assert run.status == -9
    assert run.end["reason"] == "cut"
    assert run.end["now_us"] == 4_321_000


def test_reset_causes_and_the_unique_id(board: Board) -> None:
    for cause, number in (("power", 1), ("hard", 2), ("watchdog", 3), ("soft", 5)):
        run = board.power(
            "import machine, board\nprint(machine.reset_cause(), board.reset_cause(), board.device_id())",
            reset_cause=cause,
            end_ms=400,
        )
        assert run.lines[0] == f"{number} {cause} 246f28a1b2c3"


def test_resets_end_the_process_at_once(board: Board) -> None:
    assert board.power("import machine\nmachine.reset()\nprint('no')").end["reason"] == "hard"
    assert board.power("import machine\nmachine.soft_reset()\nprint('no')").end["reason"] == "soft"


def test_a_restart_within_a_session_finds_the_world_as_it_is_and_the_rtc_running(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "print(machine.Pin(4, machine.Pin.IN).value(), time.ticks_ms(), time.time())\n"
        "machine.Pin(4).irq(lambda p: print('edge', time.ticks_ms()))\ntime.sleep(10)\n",
        events=[[1000, "pin", 4, 1], [7000, "pin", 4, 0]],
        elapsed_ms=5000,
        rtc_us=800_000_000_000_000,
        boot_ms=500,
        reset_cause="watchdog",
    )
    assert run.lines[:2] == ["1 500 800000000", "edge 2000"]
    assert run.stamps_ms[0] == 5500


def test_nvs_keeps_blobs_over_power_cuts(board: Board) -> None:
    first = board.power(
        "import esp32\n"
        "nvs = esp32.NVS('wearmeter')\nbuffer = bytearray(8)\n"
        "def refused(work):\n"
        "    try:\n        work()\n    except OSError as error:\n        print(error.args[1])\n"
        "refused(lambda: nvs.get_blob('ledger', buffer))\n"
        "nvs.set_blob('ledger', b'\\x00\\xff123')\nnvs.set_i32('n', -5)\nnvs.commit()\n"
        "refused(lambda: nvs.set_blob('a name of 16 byt', b''))\n"
        "refused(lambda: nvs.get_blob('ledger', bytearray(4)))\n"
        "refused(lambda: nvs.get_i32('ledger'))\n"
        "refused(lambda: nvs.erase_key('other'))\n"
    )
    assert [line.replace("ESP_ERR_NVS_", "") for line in first.lines[:5]] == [
        "NOT_FOUND",
        "KEY_TOO_LONG",
        "INVALID_LENGTH",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    second = board.power(
        "import esp32\nnvs = esp32.NVS('wearmeter')\nbuffer = bytearray(8)\n"
        "size = nvs.get_blob('ledger', buffer)\nprint(size, bytes(buffer[:size]), nvs.get_i32('n'))\n"
        "nvs.erase_key('n')\n"
    )
    assert second.lines[0] == "5 b'\\x00\\xff123' -5"


def test_the_backup_copies_of_the_board_module_are_in_nvs(board: Board) -> None:
    run = board.power(
        "import board\nb = bytearray(8)\nbackup = board.backup('counts')\n"
        "print(backup.load_into(b), backup.save(b'abc'), board.backup('counts').load_into(b), bytes(b[:3]))"
    )
    assert run.lines[0] == "0 True 3 b'abc'"
