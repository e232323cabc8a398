"""The virtual board's flash: the real littlefs over NOR rules, wear counted, torn where the power goes."""

from pathlib import Path

import pytest

from tools.simulator import flash_image
from tools.simulator.testing import Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def test_files_of_the_host_are_found_and_files_of_the_board_are_read_back(tmp_path: Path) -> None:
    board = Board(tmp_path, {"wearmeter/a.txt": b"from the host", "lib/umqtt/b.txt": b"x"})
    run = board.power(
        "import os, sys\n"
        "print([name for name in sorted(os.listdir('/')) if name in ('lib', 'main.py', 'wearmeter')])\n"
        "print(open('/wearmeter/a.txt').read(), sys.path)\n"
        "os.mkdir('/state')\nwith open('/state/x', 'wb') as f:\n    f.write(b'from the board')\n",
        end_ms=1000,
    )
    assert run.lines[:2] == ["['lib', 'main.py', 'wearmeter']", "from the host ['', '.frozen', '/lib']"]
    assert flash_image.read_file(board.flash, "state/x") == b"from the board"
    assert flash_image.read_file(board.flash, "state/y") is None


def test_the_pc_and_the_machinery_are_out_of_the_firmwares_sight(board: Board) -> None:
    run = board.power(
        "import os\n"
        "for name in ('world', 'flash', 'mqtt_answers'):\n"
        "    try:\n        __import__(name)\n        print('sees', name)\n    except ImportError:\n        pass\n"
        "try:\n    os.stat('/etc/passwd')\nexcept OSError:\n    print('hidden')\n"
    )
    assert run.lines[0] == "hidden"


def test_a_blank_flash_is_formatted_at_boot(board: Board) -> None:
    board.flash.write_bytes(b"\xff" * board.flash.stat().st_size)
    board.power(end_ms=1000)
    assert flash_image.read_file(board.flash, "main.py") is None


def test_a_damaged_file_system_is_complained_about_for_ever(board: Board) -> None:
    board.flash.write_bytes(b"\x00" * board.flash.stat().st_size)
    run = board.power(end_ms=10_000)
    assert run.text.count("appears to be corrupted") >= 3


def nor(board: Board, script: str) -> list[str]:
    """Runs a script on the bare Flash object, before any file system."""
    import json
    import subprocess

    from tools.simulator.vacuum import BOARD, find_micropython

    board.flash.write_bytes(b"\xff" * board.flash.stat().st_size)
    session = board.directory / "bare.json"
    session.write_text(json.dumps(board.session()))
    code = (
        f"import sys, json\nsys.path[:0] = [{str(BOARD / 'stand_ins')!r}, {str(BOARD)!r}]\n"
        f"import world, flash\nsession = json.load(open({str(session)!r}))\nthe = world.begin(session)\n"
        "device = flash.Flash(the, session['flash_file'], session['stats_file'])\n" + script
    )
    result = subprocess.run([find_micropython(), "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert not result.stderr, result.stderr
    return result.stdout.splitlines()


def test_programming_clears_bits_only(board: Board) -> None:
    lines = nor(
        board,
        "device.writeblocks(3, b'\\xf0' * 32, 64)\n"
        "device.writeblocks(3, b'\\x30' * 32, 64)\n"
        "try:\n    device.writeblocks(3, b'\\x31' * 32, 64)\nexcept RuntimeError as error:\n    print(error)\n"
        "got = bytearray(34)\ndevice.readblocks(3, got, 63)\nprint(got[0], got[1], got[33])\n"
        "device.ioctl(6, 3)\ndevice.readblocks(3, got, 63)\nprint(set(got))\n"
        "device.writeblocks(3, b'\\x31' * 32, 64)\nprint(the.now_us)\n",
    )
    took_us = 3 * (200 + 32 * 4) + 45_000
    assert lines == ["flash: programming block 3 at 64 would set bits", "255 48 255", "{255}", str(took_us)]


def test_each_operation_is_counted_and_the_counts_outlive_the_process(board: Board) -> None:
    nor(board, "for i in range(3): device.ioctl(6, 7)\ndevice.ioctl(6, 8)\ndevice.writeblocks(7, b'\\x00' * 96, 0)\n")
    wear = board.wear
    assert (wear.programs, wear.erases, wear.bytes_programmed) == (1, 4, 96)
    assert wear.erases_of_block[7] == wear.hottest_block_erases == 3
    nor(board, "device.ioctl(6, 8)\n")
    assert board.wear.erases == 5


def test_the_plain_protocol_erases_what_it_writes(board: Board) -> None:
    nor(board, "device.writeblocks(2, b'\\x00' * 8192)\ndevice.writeblocks(2, b'\\xaa' * 8192)\n")
    assert board.flash.read_bytes()[2 * 4096 : 4 * 4096] == b"\xaa" * 8192


def test_a_cut_within_a_program_leaves_a_prefix(board: Board) -> None:
    nor(board, "the.end_us = 704 // 2\ndevice.writeblocks(0, b'\\x00' * 126, 0)\n")
    data = board.flash.read_bytes()
    done = len(data) - len(data.lstrip(b"\x00"))
    assert done == 126 * 352 // 704
    assert set(data[done:]) == {255}


def test_a_cut_within_an_erase_leaves_the_rest_of_the_block(board: Board) -> None:
    nor(board, "device.writeblocks(5, b'\\x00' * 4096, 0)\nthe.end_us = the.now_us + 11250\ndevice.ioctl(6, 5)\n")
    block = board.flash.read_bytes()[5 * 4096 : 6 * 4096]
    assert block == b"\xff" * 1024 + b"\x00" * 3072


SAVE = """
import os
saves = 0
while True:
    with open('/record', 'wb') as file:
        file.write(b'%08d' % saves * 8)
    saves += 1
    print(saves)
"""


@pytest.mark.parametrize("operation", [1, 2, 7, 40, 150])
@pytest.mark.parametrize("byte", [0, 13, 4096])
def test_a_cut_at_the_nth_operation_leaves_the_last_save_or_the_one_before(
    board: Board, operation: int, byte: int
) -> None:
    run = board.power(SAVE, cut_at_operation=[operation, byte], end_ms=600_000)
    assert run.end["reason"] == "cut"
    assert run.end["flash_operations"] == operation
    acknowledged = int(run.lines[-1]) if run.lines else 0
    content = flash_image.read_file(board.flash, "record")
    assert content in ([None, b""] if not acknowledged else []) + [
        b"%08d" % number * 8 for number in (acknowledged - 1, acknowledged)
    ]


def test_a_cut_at_a_millisecond_may_fall_within_an_operation(tmp_path: Path) -> None:
    whole = 0
    for end_ms in range(200, 240):
        board = Board(tmp_path / str(end_ms))
        run = board.power(SAVE, end_ms=end_ms)
        assert run.end["now_us"] == end_ms * 1000
        content = flash_image.read_file(board.flash, "record")
        acknowledged = int(run.lines[-1])
        assert content in [b"%08d" % number * 8 for number in (acknowledged - 1, acknowledged)]
        whole += 1
        if whole == 5:
            break


def test_interrupts_wait_for_a_flash_operation_to_end(board: Board) -> None:
    """On the chip, too: the cache is off while the flash is written, and Python cannot run."""
    run = board.power(
        "import time, machine\n"
        "late = []\n"
        "machine.Pin(4, machine.Pin.IN).irq(lambda p: late.append(time.ticks_ms()))\n"
        "n = 0\n"
        "while time.ticks_ms() < 3000:\n"
        "    with open('/record', 'wb') as file:\n        file.write(b'%08d' % n * 8)\n    n += 1\n"
        "print(late)\n",
        events=[[1000, "pin", 4, 1], [2000, "pin", 4, 0]],
    )
    first, second = eval(run.lines[0])
    assert 1000 <= first <= 1300  # a compaction erases up to four blocks, and reads a lot
    assert 2000 <= second <= 2300
