"""package.json lists just the package's files, and the real mpremote installs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tools.setup import package
from tools.simulator import flash_image
from tools.simulator.real_board import RealBoard

ROOT = Path(__file__).resolve().parents[1]


def test_it_lists_exactly_the_files_of_the_package_and_its_version() -> None:
    listed = json.loads(package.PACKAGE.read_text())
    assert listed == package.contents(), "python -m tools.setup.package brings it up to date"
    for target, source in listed["urls"]:
        assert source == "firmware/" + target and (ROOT / source).is_file()
    assert {target for target, _ in listed["urls"]} == {
        str(path.relative_to(ROOT / "firmware")) for path in (ROOT / "firmware" / "wearmeter").rglob("*.py")
    }


def test_mpremote_installs_it_and_it_can_be_imported(tmp_path: Path) -> None:
    listed = {key: value for key, value in package.contents().items() if key != "deps"}  # these need the network
    (tmp_path / "package.json").write_text(json.dumps(listed))
    (tmp_path / "firmware").symlink_to(ROOT / "firmware")
    flash_image.make(tmp_path / "flash.bin", {}, 1024 * 1024)
    with RealBoard(tmp_path / "flash.bin", tmp_path / "tty") as board:
        time.sleep(0.5)
        arguments = ["mip", "install", "--no-mpy", str(tmp_path / "package.json")]
        asked = "import wearmeter, wearmeter.state.ledger; print(wearmeter.VERSION, wearmeter.__file__)"
        command = [sys.executable, "-m", "mpremote", "connect", str(board.link), "resume"]
        for words in (arguments, ["exec", asked]):  # mpremote's own lines come in an order that depends on buffering
            done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=90, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    version, where = done.stdout.split()
    assert version == listed["version"] and where.startswith("/lib/wearmeter/")
