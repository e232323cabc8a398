"""umqtt.simple is taken only if it is the very file that is pinned."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tools.setup import umqtt


def sdist(path: Path, name: str = "micropython-umqtt.simple-1.3.4/umqtt/simple.py") -> Path:
    content = b"class MQTTClient: pass\n"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return path


def pin(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    monkeypatch.setattr(umqtt, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())


def test_another_file_than_the_pinned_one_is_refused_in_one_line(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "umqtt.tar.gz")
    with pytest.raises(umqtt.UmqttError) as caught:
        umqtt.unpack(archive, tmp_path / "out" / "simple.py")
    assert "is not the file pinned" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_pinned_file_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = sdist(tmp_path / "umqtt.tar.gz")
    pin(monkeypatch, archive)
    umqtt.unpack(archive, tmp_path / "out" / "simple.py")
    assert (tmp_path / "out" / "simple.py").read_bytes() == b"class MQTTClient: pass\n"


def test_a_pinned_file_without_the_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = sdist(tmp_path / "umqtt.tar.gz", "something/else.py")
    pin(monkeypatch, archive)
    with pytest.raises(umqtt.UmqttError, match="holds no umqtt/simple.py"):
        umqtt.unpack(archive, tmp_path / "simple.py")


def test_an_index_that_cannot_be_reached_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(umqtt.UmqttError) as caught:
        umqtt.fetch(tmp_path / "simple.py")
    assert umqtt.REQUIREMENT in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    (tmp_path / "simple.py").write_text("")
    assert umqtt.fetch(tmp_path / "simple.py") is False
