"""Judges a message by messages.schema.json."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

SCHEMA = Path(__file__).with_name("messages.schema.json")
EVENTS = ("InventoryConsumed", "InventoryReplaced", "AddOrUpdateReport", "DeleteReport")
_formats = FormatChecker(formats=())


@_formats.checks("moment", raises=ValueError)
def _is_moment(value: object) -> bool:
    """A date and time that exist; their form is the pattern's matter."""
    if isinstance(value, str):
        datetime.datetime.fromisoformat(value.split(".")[0].rstrip("Z"))
    return True


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    """JSON Schema's `$` is the end of the text; Python's would also match before a last line break."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})


@cache
def _validator(name: str) -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return _Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}, format_checker=_formats)


def name_of(message: Any) -> str | None:
    """Return the name in the message's header, None if it has none."""
    try:
        name = (message["event"] if "event" in message else message)["header"]["name"]
    except (KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def fault(message: Any, names: tuple[str, ...] = EVENTS) -> str | None:
    """Return what is wrong with a message that should be one of `names`, None if nothing is."""
    name = name_of(message)
    if name not in names:
        return f"not one of {', '.join(names)}: {name}"
    error = best_match(_validator(name).iter_errors(message))
    return f"{error.json_path}: {error.message}"[:300] if error is not None else None
