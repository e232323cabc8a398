"""Where callbacks run on the virtual board, and where they are lost: as in MicroPython's own scheduler."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.simulator.testing import Board
from tools.simulator.vacuum import find_micropython


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


# MicroPython looks at its queue: on the PC at each turn of a loop, on the board at each call into C.
SAME_ON_BOTH = """
import micropython
log = []
depth = 0

def callback(number):
    global depth
    depth += 1
    log.append("c%d" % number if depth == 1 else "nested")
    for _ in range(3):
        hand_back()
    if number == 1:
        micropython.schedule(callback, 100)  # from a callback: it runs after those that wait
    depth -= 1
    if number == 2:
        raise ValueError("of a callback")

def fill(_):
    accepted = 0
    try:
        while True:
            micropython.schedule(callback, accepted)
            accepted += 1
    except RuntimeError as error:
        log.append("%s %d" % (error, accepted))

micropython.schedule(fill, 0)
for turn in range(14):
    hand_back()
    log.append("m")
print("LOG", " ".join(log))
"""


@pytest.mark.parametrize(("where", "depth"), [("MicroPython's own", 4), ("the board's", 8)])
def test_the_imitation_runs_callbacks_as_micropythons_own_scheduler_does(
    board: Board, micropython: str, where: str, depth: int
) -> None:
    """The same program on both: how many the queue takes, their order, one a time, none within another, and that an
    exception in one ends neither the program nor the others."""
    if where == "the board's":
        text = board.power("import time\nhand_back = time.ticks_us\n" + SAME_ON_BOTH).text
    else:
        command = [micropython, "-c", "def hand_back(): pass\n" + SAME_ON_BOTH]
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        text = run.stdout + run.stderr
    log = next(line for line in text.splitlines() if line.startswith("LOG"))[4:]
    assert f"schedule queue full {depth}" in log
    turns = [turn.split() for turn in log.split(str(depth), 1)[1].split("m")]
    assert [name for turn in turns for name in turn] == [f"c{number}" for number in range(depth)] + ["c100"]
    assert max(len(turn) for turn in turns) == 1
    assert "ValueError: of a callback" in text


def test_micropythons_own_queue_holds_what_the_test_above_takes_it_to_hold() -> None:
    probe = (
        "import micropython\nn = 0\n"
        "def fill(_):\n    global n\n    while True:\n        micropython.schedule(len, ())\n        n += 1\n"
        "micropython.schedule(fill, 0)\nfor _ in range(3): pass\nprint(n)\n"
    )
    run = subprocess.run([find_micropython(), "-c", probe], capture_output=True, text=True, timeout=30, check=False)
    assert run.stdout.split()[-1] == "4"


def test_timers_interrupts_and_schedule_share_one_queue(board: Board) -> None:
    run = board.power(
        "import micropython, time\nfrom machine import Pin, Timer\n"
        "log = []\n"
        "def busy(timer):\n"
        "    time.sleep_ms(400)\n"
        "    for number in range(8):\n"
        "        try:\n            micropython.schedule(log.append, number)\n"
        "        except RuntimeError as error:\n            log.append(str(error))\n"
        "Pin(4, Pin.IN).irq(lambda pin: log.append('edge'))\n"
        "Timer(1, mode=Timer.ONE_SHOT, period=1200, callback=lambda timer: log.append('timer'))\n"
        "Timer(0, mode=Timer.ONE_SHOT, period=1000, callback=busy)\n"
        "time.sleep(2)\nprint(log)\n",
        [[1100, "pin", 4, 1]],
    )
    full = "schedule queue full"
    assert eval(run.lines[0]) == [full, full, "edge", "timer", 0, 1, 2, 3, 4, 5]
    assert run.end["dropped_callbacks"] == 0  # schedule() told its caller


def test_a_look_at_the_clock_runs_one_callback_and_no_more(board: Board) -> None:
    run = board.power(
        "import micropython, time\n"
        "log = []\n"
        "def fill(_):\n    for number in range(3):\n        micropython.schedule(log.append, number)\n"
        "micropython.schedule(fill, 0)\ntime.ticks_ms()\n"
        "lengths = []\n"
        "for _ in range(4):\n    time.ticks_ms()\n    lengths.append(len(log))\n"
        "print(lengths)\n"
    )
    assert run.lines[0] == "[1, 2, 3, 3]"


def test_sleep_zero_runs_one_callback_and_a_longer_sleep_all_that_come(board: Board) -> None:
    run = board.power(
        "import micropython, time\n"
        "log = []\n"
        "def fill(_):\n    for number in range(6):\n        micropython.schedule(log.append, number)\n"
        "micropython.schedule(fill, 0)\ntime.sleep_ms(0)\n"
        "time.sleep_ms(0)\nfirst = len(log)\n"
        "time.sleep_ms(5)\nprint(first, log)\n"
    )
    assert run.lines[0] == "1 [0, 1, 2, 3, 4, 5]"


CONNECT = """
import machine, network, socket, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("Home", "a password")
while not wlan.isconnected():
    time.sleep_ms(10)
slow, fast = [], []
machine.Timer(0, period=100, callback=lambda timer: slow.append(time.ticks_ms()))
{more}
began = time.ticks_ms()
sock = socket.socket()
{connect}
print(len(slow), len(fast), time.ticks_diff(time.ticks_ms(), began))
"""
FAST = "machine.Timer(1, period=1, callback=lambda timer: fast.append(1))"
BLOCKING = "sock.settimeout(8)\ntry:\n    sock.connect(('203.0.113.1', 1883))\nexcept OSError:\n    pass\n"
POLLED = (
    "import select\nsock.setblocking(False)\n"
    "try:\n    sock.connect(('203.0.113.1', 1883))\nexcept OSError:\n    pass\n"
    "poller = select.poll()\npoller.register(sock, select.POLLOUT)\n"
    "while time.ticks_diff(time.ticks_ms(), began) < 8000:\n    poller.poll(50)\n"
)


@pytest.mark.parametrize(
    ("more", "connect", "least_slow", "most_slow"),
    [
        ("", BLOCKING, 75, 85),
        (FAST, BLOCKING, 0, 20),
        (FAST, POLLED, 79, 81),
    ],
    ids=["alone", "beside a timer of 1 kHz", "beside it, without blocking"],
)
def test_a_fast_timer_starves_the_others_while_a_socket_blocks(
    board: Board, more: str, connect: str, least_slow: int, most_slow: int
) -> None:
    """As run on an emulated ESP32, where a timer of 100 ms ran 85 of 90 times beside a blocked connect alone, 6 of 89
    times with a timer of 1 kHz beside it, and 80 of 80 where nothing blocked (the fast one then 7,448 of 8,026)."""
    run = board.power(CONNECT.format(more=more, connect=connect), end_ms=60_000, storm=True)
    slow, fast, took_ms = (int(word) for word in run.lines[0].split())
    assert 8_000 <= took_ms <= 8_150
    assert least_slow <= slow <= most_slow
    if more and connect == POLLED:
        assert fast > 7_000
        assert run.end["dropped_callbacks"] < 100


@pytest.mark.parametrize("toggle_ms", [20, 200, 600])
def test_a_blocked_connect_loses_edges_that_come_faster_than_it_hands_back(board: Board, toggle_ms: int) -> None:
    """Beside a timer of 100 ms the one callback in 100 ms is not enough for any edge."""
    more = "machine.Pin(4, machine.Pin.IN).irq(lambda pin: fast.append(1))"
    events = [[at, "pin", 4, 1 - at // toggle_ms % 2] for at in range(2_400, 10_000, toggle_ms)]
    run = board.power(CONNECT.format(more=more, connect=BLOCKING), events, end_ms=60_000, storm=True)
    assert run.end["dropped_callbacks"] > 0


def test_a_blocked_read_that_gets_its_data_hands_back_only_after_polls_without(
    board: Board, free_port: Callable[[], int]
) -> None:
    """modsocket.c looks at the queue after a poll that brought nothing, and returns at once when data is there."""
    run = board.power(
        CONNECT.format(
            more="import micropython",
            connect=(
                "micropython.schedule(fast.append, 1)\nmicropython.schedule(fast.append, 2)\n"
                "micropython.schedule(fast.append, 3)\n"
                "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "udp.sendto(b'\\x23' + bytes(47), ('203.0.113.123', 123))\n"  # runs one
                "udp.settimeout(1)\ndata, sender = udp.recvfrom(48)\n"  # runs another as it is called
            ),
        ),
        end_ms=60_000,
    )
    assert run.lines[0].split()[1] == "2"


def test_no_callback_runs_while_interrupts_are_off(board: Board) -> None:
    run = board.power(
        "import machine, time\nlog = []\n"
        "machine.Pin(4, machine.Pin.IN).irq(lambda pin: log.append(1))\n"
        "state = machine.disable_irq()\n"
        "time.sleep_ms(1500)\n"
        "before = len(log)\nmachine.enable_irq(state)\nprint(before, len(log))\n",
        [[1000, "pin", 4, 1]],
    )
    assert run.lines[0] == "0 1"


def test_without_stretching_a_timer_keeps_its_beat_at_rest(board: Board) -> None:
    main = (
        "import time, machine\nbeats = []\n"
        "machine.Timer(0, period=100, callback=lambda t: beats.append(1))\n"
        "time.sleep(60)\nprint(len(beats))\n"
    )
    assert int(board.power(main, end_ms=70_000, stretch=False).lines[0]) in (599, 600)
    assert int(board.power(main, end_ms=70_000).lines[0]) < 250
