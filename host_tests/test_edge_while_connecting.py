"""A motor that stops while the firmware is held up in a socket's connect: nothing is counted that had not run."""

from __future__ import annotations

from pathlib import Path

from host_tests.unit_for_tests import Unit, clean

ON_MS = 1500


def test_a_motor_that_stops_during_a_connect_is_never_counted_too_long(tmp_path: Path, firmware: Path) -> None:
    unit = Unit(tmp_path)
    unit.power(3000)
    image = unit.board.flash.read_bytes()
    nvs = (unit.board.directory / "nvs.json").read_bytes()
    # The Wi-Fi is up after 2 s; the connect that follows takes 10 ms, in which no interrupt's callback runs.
    for off_ms in range(2090, 2122, 2):
        unit.board.flash.write_bytes(image)
        (unit.board.directory / "nvs.json").write_bytes(nvs)
        (run,) = unit.power(4000, clean(ON_MS, off_ms))
        assert "wm link state=lost reason=7" in run.text
        counted_ms = unit.counted()[0].lifetime_ms
        assert off_ms - ON_MS - 150 <= counted_ms <= off_ms - ON_MS, off_ms
