"""Each test on CPython runs in a folder of its own, as run.py's does on MicroPython."""

import pytest


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
