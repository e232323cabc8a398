"""ruff and mypy have nothing to say, about the host's code and about the device's on each of its boards."""

from __future__ import annotations

import pytest

from tools.setup import lint


@pytest.mark.parametrize("name", list(lint.checks()))
def test_the_code_is_clean(name: str) -> None:
    lint.make_typings()
    lint.make_boards()
    complaints = lint.run(*lint.checks()[name])
    assert not complaints, "\n".join(complaints)
