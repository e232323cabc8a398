"""A row of the queue as the message that Alexa is sent."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from tools.relay.core import events, wire

ADD_OR_UPDATE, DELETE = "AddOrUpdateReport", "DeleteReport"


class NoConsumable(Exception):
    """The device, as it describes itself now, has no such consumable."""


def message(row: Any, token: str, increment_s: int | None = None) -> dict[str, Any]:
    """Return the message; with `increment_s` it tells that instead of the use in all. Raises NoConsumable."""
    if row.name == ADD_OR_UPDATE:
        return events.add_or_update_report(row.message_id, token, [json.loads(row.body)])
    if row.name == DELETE:
        return events.delete_report(row.message_id, token, [row.device])
    instances = _instances(row.about)
    if row.consumable not in instances:
        raise NoConsumable("the device no longer has this consumable")
    instance = instances[row.consumable]
    if row.name == events.REPLACED:
        return events.inventory_replaced(row.message_id, row.device, token, instance, row.utc_s)
    usage_s = row.usage_s if increment_s is None else increment_s
    return events.inventory_consumed(row.message_id, row.device, token, instance, usage_s, row.utc_s)


@lru_cache(maxsize=1024)  # a model's devices differ by their serial numbers: what is being sent now, not the fleet
def _instances(about: bytes) -> dict[int, str]:
    return {consumable.id: consumable.instance for consumable in wire.decode_about(about).consumables}
