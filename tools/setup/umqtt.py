"""Fetches umqtt.simple, the device's MQTT client, from PyPI.

It is published as an sdist without a setup.py, which pip cannot install; `unearth` finds and downloads it all the same.
What comes is used only if it is, to the bit, the file pinned here.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = "micropython-umqtt.simple==1.3.4"
SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
TARGET = ROOT / "build" / "umqtt" / "umqtt" / "simple.py"


class UmqttError(Exception):
    """umqtt.simple cannot be had; the message is one line."""


def pip_index() -> str:
    """The index pip would ask, so that a mirror configured for pip serves here too; pip itself knows the default."""
    named = os.environ.get("PIP_INDEX_URL")
    if named:
        return named
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)


def download(folder: Path) -> Path:
    """Downloads the sdist into folder and returns its path. Raises UmqttError."""
    import unearth

    try:
        finder = unearth.PackageFinder(index_urls=[pip_index()], no_binary=[":all:"])
        best = finder.find_best_match(REQUIREMENT).best
        if best is None:
            raise UmqttError(f"the package index has no {REQUIREMENT}")
        name = best.link.filename
        finder.download_and_unpack(best.link, location=folder / "unpacked", download_dir=folder)
    except UmqttError:
        raise
    except Exception as error:  # unearth and its HTTP client raise errors of many kinds; each means: not to be had
        reason = (str(error) or repr(error)).splitlines()[0]
        raise UmqttError(f"{REQUIREMENT} could not be downloaded: {reason}") from error
    return folder / name


def unpack(archive: Path, target: Path) -> None:
    """Checks the archive's digest, then writes its simple.py to target. Raises UmqttError, and then writes nothing."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise UmqttError(f"{archive.name} is not the file pinned: its sha256 is {digest}, not {SHA256}")
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.endswith("umqtt/simple.py") and member.isfile()]
        content = tar.extractfile(members[0]) if len(members) == 1 else None
        if content is None:
            raise UmqttError(f"{archive.name} holds no umqtt/simple.py")
        text = content.read()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".new")
    temporary.write_bytes(text)
    temporary.replace(target)


def fetch(target: Path = TARGET) -> bool:
    """Makes sure target holds umqtt.simple. Returns True if it had to be downloaded. Raises UmqttError."""
    if target.exists():
        return False
    with tempfile.TemporaryDirectory() as folder:
        unpack(download(Path(folder)), target)
    return True
