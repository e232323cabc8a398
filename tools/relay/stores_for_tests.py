"""A pytest plugin: the fixture `store_url`, an empty database for each test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The URL of an empty database."""
    return f"sqlite:///{tmp_path}/relay.sqlite3"
