"""What an owner's Alexa is told of a device beside its reports: that it is there, how it has changed, its use so far.

Each function works in a transaction of the caller's, that holds the device's row.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import Connection, Row, select

from tools.relay.core import events, wire
from tools.relay.delivery.messages import ADD_OR_UPDATE, DELETE
from tools.relay.delivery.outbox import LINKED, QUEUED, queued
from tools.relay.store.schema import customers, devices, messages, queue, replenishment, usage
from tools.relay.store.store import Store


def endpoint(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    """Return the device as a discovery lists it, with the Dash ids known by now."""
    about = wire.decode_about(row.about)
    known = select(replenishment.c.instance, replenishment.c.value).where(replenishment.c.model == about.model)
    dash_ids = {instance: value for instance, value in connection.execute(known).all()}
    return events.endpoint(row.device, about, row.name, dash_ids)


def dump(told: dict[str, Any]) -> str:
    """Return an endpoint as `devices.told` keeps it, to compare."""
    return json.dumps(told, sort_keys=True)


def tell_endpoint(store: Store, connection: Connection, device: str) -> bool:
    """Queue an AddOrUpdateReport if the owner's Alexa knows the device otherwise than it is now.

    One that waits, or is on its way, is changed instead: however often a device changes meanwhile, that is one report,
    of what it is in the end. `devices.told` is set when the gateway has accepted it. Returns whether anything is new.
    """
    row = connection.execute(select(devices).where(devices.c.device == device)).one()
    if row.about is None or row.customer is None or not is_linked(connection, row.customer):
        return False
    body = dump(endpoint(connection, row))
    waiting = connection.execute(
        select(queue.c.id, queue.c.body)
        .where(queue.c.device == device, queue.c.state == QUEUED, queue.c.name == ADD_OR_UPDATE)
        .order_by(queue.c.id.desc())
    ).first()  # fmt: skip
    if (waiting.body if waiting is not None else row.told) == body:
        return False
    if waiting is not None:
        # Another id, so that an answer to what was said before does not settle it.
        changed = {"body": body, "message_id": str(uuid.uuid4()), "attempts": 0}
        connection.execute(queue.update().where(queue.c.id == waiting.id).values(**changed))
        store.outbox.touch(connection, device)
        return True
    report = queued(device, ADD_OR_UPDATE, store.clock(), customer=row.customer, body=body)
    return bool(store.outbox.enqueue(connection, [report]))


def tell_gone(store: Store, connection: Connection, device: str, customer: str) -> None:
    """Queue a DeleteReport to the customer whose device it was."""
    store.outbox.enqueue(connection, [queued(device, DELETE, store.clock(), customer=customer)])


def tell_usage(store: Store, connection: Connection, device: str, replacements: bool = False) -> int:
    """Queue the use of each fitted part as it is known now, with the time it was sampled; returns of how many.

    With `replacements` the last one of each part goes before it: it may have come while nobody could be told.
    """
    row = connection.execute(select(devices).where(devices.c.device == device)).one()
    if row.about is None or row.epoch is None:
        return 0
    fitted = select(usage).where(usage.c.device == device, usage.c.epoch == row.epoch)
    newest: dict[int, list[Row[Any]]] = {}
    for used in connection.execute(fitted.order_by(usage.c.generation)):
        newest.setdefault(used.consumable, []).append(used)
    sampled = connection.execute(
        select(messages.c.sample_s, messages.c.estimated)
        .where(messages.c.device == device, messages.c.epoch == row.epoch, messages.c.kind == wire.REPORT)
        .order_by(messages.c.sequence.desc())
    ).first()  # fmt: skip
    utc_s, estimated = (sampled.sample_s, sampled.estimated) if sampled is not None else (row.last_seen_s, True)
    rows = []
    for consumable, parts in sorted(newest.items()):
        common = {"epoch": row.epoch, "consumable": consumable, "generation": parts[-1].generation}
        before = parts[-2] if len(parts) > 1 else None
        if replacements and before is not None and before.replaced_s is not None:
            rows.append(queued(device, events.REPLACED, store.clock(), utc_s=before.replaced_s,
                               estimated=before.inferred, inferred=before.inferred, **common))  # fmt: skip
        rows.append(queued(device, events.CONSUMED, store.clock(), utc_s=utc_s, estimated=estimated,
                           usage_s=parts[-1].used_s, **common))  # fmt: skip
    return len(newest) if store.outbox.enqueue(connection, rows) else 0


def is_linked(connection: Connection, customer: str) -> bool:
    return connection.execute(select(customers.c.state).where(customers.c.customer == customer)).scalar() == LINKED
