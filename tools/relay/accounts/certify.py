"""Amazon's test cases for a Dash device, sent straight to its gateway: several reports in a row, a low level of each
part, a replacement, and the level that it resets.

The use that these tell is made up, so they are for a test device or for the account of a test; the last ones tell again
what is true. The queue is not involved: what the device says meanwhile is sent beside them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from tools.relay.accounts import telling
from tools.relay.core import events, wire
from tools.relay.delivery import messages
from tools.relay.delivery.gateway_client import Answer, GatewayClient, Unreachable
from tools.relay.delivery.routes import NoRoute, Routes, TokenAwaited
from tools.relay.delivery.verdict import Verdict, judge
from tools.relay.settings import Settings
from tools.relay.store.schema import customers, devices, usage
from tools.relay.store.store import Store

RISING_PERCENT = (10, 20, 30)
LOW_PERCENT = (95, 100)
RESENDS = 3
"""Amazon's: a 429, 500 or 503 is answered with at most three more, a second apart at least."""
TOKEN_WAIT_S = 30.0


@dataclass(frozen=True)
class Case:
    """One message. `look` is what a person should find in the Alexa app after it."""

    title: str
    look: str
    name: str
    consumable: wire.Consumable | None = None
    usage_s: int | None = None


@dataclass(frozen=True)
class Outcome:
    """`sent` is the message without its token, None where none could be; `answer` is the last one's."""

    case: Case
    sent: dict[str, Any] | None
    answer: str
    passed: bool
    attempts: int


def cases(about: wire.About, used_s: dict[int, int]) -> Iterator[Case]:
    """Yield what is to be sent, in order; `used_s` is the true use of each part."""
    yield Case("Discovery", "the device, with each part", messages.ADD_OR_UPDATE)
    for part in about.consumables:
        name, rated_s = part.instance, part.rated_life_h * 3600
        for title, look, percents in (
            ("Several reports in a row", "what is left falls to {left} %", RISING_PERCENT),
            ("Low level", "what is left falls to {left} %, and a notice", LOW_PERCENT),
        ):
            for percent in percents:
                yield Case(title, f"{name}: {look.format(left=100 - percent)}", events.CONSUMED, part,
                           rated_s * percent // 100)  # fmt: skip
        yield Case("Replacement", f"{name}: a new part, all of it left", events.REPLACED, part)
        yield Case("Reset", f"{name}: all of it left, after a first use of nothing", events.CONSUMED, part, 0)
    for part in about.consumables:
        yield Case("The truth again", f"{part.instance}: its true use", events.CONSUMED, part, used_s.get(part.id, 0))


def certify(
    settings: Settings, store: Store, routes: Routes, device: str, pause_s: float, told: Callable[[Outcome], None]
) -> list[Outcome]:
    """Send all cases for a device that has described itself, `pause_s` apart; each is `told` when it is over."""
    with store.begin() as connection:
        row = connection.execute(select(devices).where(devices.c.device == device)).one()
        body = telling.dump(telling.endpoint(connection, row))
    true = {}
    for used in sorted(store.rows(usage, device=device, epoch=row.epoch), key=lambda used: used.generation):
        true[used.consumable] = used.used_s

    async def run() -> list[Outcome]:
        client = GatewayClient(1, settings.deadline_s)
        outcomes = []
        try:
            for number, case in enumerate(cases(wire.decode_about(row.about), true)):
                await asyncio.sleep(pause_s if number else 0.0)
                outcomes.append(await _send(store, routes, client, device, case, body))
                told(outcomes[-1])
        finally:
            await routes.close()
            await client.close()
        return outcomes

    return asyncio.run(run())


async def _send(store: Store, routes: Routes, client: GatewayClient, device: str, case: Case, body: str) -> Outcome:
    message_id, utc_s = str(uuid.uuid4()), int(store.clock())
    attempts, give_up_at = 0, time.monotonic() + TOKEN_WAIT_S
    while True:
        row = SimpleNamespace(
            name=case.name, message_id=message_id, device=device, customer=None, body=body, utc_s=utc_s,
            usage_s=case.usage_s, consumable=case.consumable and case.consumable.id, **_owner(store, device),
        )  # fmt: skip
        try:
            route = routes.route(row)
        except NoRoute as error:
            return Outcome(case, None, str(error), False, attempts)
        except TokenAwaited as error:
            if time.monotonic() > give_up_at:
                return Outcome(case, None, str(error), False, attempts)
            await asyncio.sleep(min(error.after_s, 1.0))
            continue
        sent = messages.message(row, route.token)
        attempts += 1
        try:
            answer = await client.post(route.url, route.token, sent)
        except Unreachable as error:
            answer = Answer(0, "no answer", str(error))
        verdict = judge(answer, case.name)
        again = verdict in (Verdict.AGAIN, Verdict.THROTTLED)
        again = again or (verdict is Verdict.UNAUTHORISED and attempts == 1 and routes.refused(route))
        if not again or attempts > RESENDS:
            accepted = verdict is Verdict.ACCEPTED
            return Outcome(case, _without_token(sent, route.token), str(answer), accepted, attempts)
        await asyncio.sleep(min(TOKEN_WAIT_S, max(1.0, answer.retry_after_s)))


def _owner(store: Store, device: str) -> dict[str, Any]:
    """Return what a route asks of an event: the owner, and the token as it is now."""
    wanted = select(
        devices.c.about, devices.c.test, customers.c.customer.label("payer"), customers.c.region,
        customers.c.state.label("link"), customers.c.access, customers.c.expires_s,
    ).outerjoin(customers, customers.c.customer == devices.c.customer)  # fmt: skip
    with store.begin() as connection:
        return dict(connection.execute(wanted.where(devices.c.device == device)).one()._mapping)


def _without_token(value: Any, token: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_token(inner, token) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_token(inner, token) for inner in value]
    return "…" if value == token else value
