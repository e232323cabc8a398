"""The skill's side: Alexa asks with a directive, `handler(directive, context)` answers."""

from __future__ import annotations

import uuid
from typing import Any

from . import events, schema, wire
from .store import Store

MAX_ENDPOINTS = 300


class Skill:
    """Answers directives from what the store holds."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def endpoints(self) -> list[dict[str, Any]]:
        """Return every device that has described itself, as a discovery lists it."""
        rows = [row for row in self.store.rows(schema.devices) if row.about is not None]
        return [events.endpoint(row.device, wire.decode_about(row.about), row.name) for row in rows][:MAX_ENDPOINTS]

    def handler(self, directive: dict[str, Any], context: Any = None) -> dict[str, Any]:
        """Return the answer to a directive. Raises ValueError for what is not a discovery."""
        header = directive["directive"]["header"]
        if (header["namespace"], header["name"]) != ("Alexa.Discovery", "Discover"):
            raise ValueError(f"no answer to {header['namespace']} {header['name']}")
        return events.discover_response(str(uuid.uuid4()), self.endpoints())
