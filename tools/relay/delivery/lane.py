"""One route to a gateway: its senders, its pace, its breaker. What one lane suffers, no other lane feels.

A sender takes an endpoint with its oldest events and sends them one after the other. Each result is committed before
the next event of that endpoint goes out, so that a crash leaves at most one event of it in doubt.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tools.relay import logs, metrics
from tools.relay.core.events import CONSUMED
from tools.relay.delivery import fate, messages
from tools.relay.delivery.breaker import Breaker
from tools.relay.delivery.gateway_client import Answer, GatewayClient, Unreachable
from tools.relay.delivery.leases import Leased, Result, Settled
from tools.relay.delivery.outbox import DEAD, QUEUED, SENT, VOID
from tools.relay.delivery.pace import Pace
from tools.relay.delivery.routes import NoRoute, Route, Routes, TokenAwaited
from tools.relay.delivery.verdict import MAX_PAUSE_S, Verdict, judge, pause_s
from tools.relay.settings import INCREMENT, Settings

log = logs.logger(__name__)
LEASE_AHEAD_S = 0.5
TOKEN_PAUSE_S = 1.0
SLOWED = 4096
"""Customers whose own pace is remembered: those lately refused."""

FATES = {SENT: "accepted", DEAD: "dead", VOID: "void", QUEUED: "waits"}

Settle = Callable[[Settled], Awaitable[bool]]
Mark = Callable[[Leased, Any], Awaitable[int]]


@dataclass(frozen=True)
class Outcome:
    """What came of one event; with `after_s` it stays queued, and its endpoint is due again after that."""

    state: str
    reason: str = ""
    tried: bool = True
    after_s: float | None = None


class Lane:
    """Serves leased endpoints. `settle` notes results and says whether the lease is still ours; `mark` reserves an
    increment before it is told."""

    def __init__(
        self, name: str, settings: Settings, routes: Routes, client: GatewayClient, settle: Settle, mark: Mark
    ) -> None:
        self.name = name
        self.settings = settings
        self.routes = routes
        self.client = client
        self.active = 0
        self.closing = False
        self.pace = Pace()
        self.breaker = Breaker()
        self._settle = settle
        self._mark = mark
        self._customers: OrderedDict[str, Pace] = OrderedDict()
        self._refused_by: dict[str, float] = {}

    @property
    def per_s(self) -> float:
        """How many events a second it may send now, as far as it has learnt."""
        return self.pace.per_s

    @property
    def left_alone(self) -> bool:
        """Whether it fails, and is only tried now and then."""
        return not self.breaker.closed

    def room(self, now: float, senders: int) -> int:
        """Return how many endpoints more it can serve now, if it serves as many as `senders` at once."""
        if not self.breaker.closed:
            return int(self.breaker.probing(now) and not self.active)
        return max(0, min(senders - self.active, self.pace.room(now, LEASE_AHEAD_S)))

    async def serve(self, leased: Leased, until: float) -> None:
        """Send what is leased, until the loop's time `until`, and give the endpoint back."""
        self.active += 1
        try:
            await self._serve(leased, until)
        finally:
            self.active -= 1

    async def _serve(self, leased: Leased, until: float) -> None:
        stale = [] if self.settings.usage == INCREMENT else _overtaken(leased.rows)
        done = [Result(row, VOID, "a newer total has taken its place", tried=False) for row in stale]
        for one in done:
            fate.tell_row(one.state, one.row, reason=one.reason)
        rows = [row for row in leased.rows if row not in stale]
        for number, row in enumerate(rows, start=1):
            outcome = await self._attempt(leased, row, until)
            done.append(Result(row, outcome.state, outcome.reason, outcome.tried))
            fate.tell_row(FATES[outcome.state], row, reason=outcome.reason, again_in_s=outcome.after_s)
            ended = outcome.after_s is not None or self.closing or number == len(rows)
            left = outcome.after_s is not None or number < len(rows)
            if ended or not await self._settle(Settled(leased, done)):
                break
            done = []
        if not rows or ended:
            after_s = (outcome.after_s or 0.0) if rows else 0.0
            await self._settle(Settled(leased, done, after_s, bool(rows) and left))

    async def _attempt(self, leased: Leased, row: Any, until: float) -> Outcome:
        try:
            route = self.routes.route(row)
            increment_s = None
            if self.settings.usage == INCREMENT and row.name == CONSUMED:
                increment_s = row.increment_s if row.increment_s is not None else await self._mark(leased, row)
            message = messages.message(row, route.token, increment_s)
            return await self._post(row, route, message, until)
        except NoRoute as error:
            return Outcome(VOID, str(error), tried=False)
        except messages.NoConsumable as error:
            return self._dead(row, str(error))
        except TokenAwaited as error:
            return Outcome(QUEUED, str(error), tried=False, after_s=error.after_s)
        except Exception:  # an error of ours with one event must not stop all others
            log.exception("could not be sent", device=row.device, name=row.name)
            return Outcome(QUEUED, "an error of the relay's own, see its log", after_s=MAX_PAUSE_S)

    async def _post(self, row: Any, route: Route, message: dict[str, Any], until: float) -> Outcome:
        loop = asyncio.get_running_loop()
        slowed = self._customers.get(route.customer or "")
        if slowed is not None and not slowed.open(loop.time()):
            return Outcome(QUEUED, "the customer's events are paced", tried=False, after_s=slowed.wait(loop.time()))
        wait_s = max(self.pace.wait(loop.time()), slowed.wait(loop.time()) if slowed is not None else 0.0)
        if loop.time() + wait_s + self.settings.deadline_s > until:
            return Outcome(QUEUED, row.reason, tried=False, after_s=wait_s)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if not self.breaker.closed and self.active > 1:  # it opened meanwhile: only a probe is sent
            return Outcome(QUEUED, row.reason, tried=False, after_s=self.settings.resend_after_s)
        fate.tell_row("sent again" if row.attempts else "sent", row, route=self.name)
        try:
            answer = await self.client.post(route.url, route.token, message)
        except Unreachable as error:
            metrics.ANSWERS.labels("none").inc()
            self._failed(f"no answer: {error}")
            return self._again(row, f"no answer: {error}")
        metrics.ANSWERS.labels(str(answer.status)).inc()
        if answer.status != 202:
            fate.tell_row("refused", row, reason=str(answer))
        return self._judge(row, route, answer)

    def _judge(self, row: Any, route: Route, answer: Answer) -> Outcome:
        now = asyncio.get_running_loop().time()
        verdict = judge(answer, row.name)
        if verdict in (Verdict.AGAIN, Verdict.UNAUTHORISED):
            self._failed(str(answer))
        elif verdict is not Verdict.THROTTLED:
            self.breaker.succeeded()
        if verdict is Verdict.ACCEPTED:
            self._accepted(route, now)
            return Outcome(SENT)
        if verdict is Verdict.FINAL:
            return self._dead(row, str(answer))
        if verdict is Verdict.UNWANTED:
            self.routes.revoke(route, answer.code)
            return Outcome(VOID, str(answer))
        if verdict is Verdict.THROTTLED:
            wait_s = self._throttled(route, now, answer.retry_after_s)
            return Outcome(QUEUED, str(answer), tried=False, after_s=wait_s)
        if verdict is Verdict.MISPLACED:
            log.warning("refused until somebody puts it right", device=row.device, name=row.name, reason=str(answer))
            return Outcome(QUEUED, str(answer), after_s=MAX_PAUSE_S)
        if verdict is Verdict.UNAUTHORISED and self.breaker.closed and self.routes.refused(route):
            return Outcome(QUEUED, str(answer), tried=False, after_s=TOKEN_PAUSE_S)
        return self._again(row, str(answer))

    def _again(self, row: Any, reason: str) -> Outcome:
        wait_s = pause_s(row.attempts, self.settings.resend_after_s)
        return Outcome(QUEUED, reason, after_s=wait_s * random.uniform(1.0, 1.25))

    def _dead(self, row: Any, reason: str) -> Outcome:
        log.warning("dead letter", device=row.device, name=row.name, reason=reason)
        return Outcome(DEAD, reason)

    def _failed(self, reason: str) -> None:
        if self.breaker.failed(asyncio.get_running_loop().time()):
            log.warning("the route is left alone for a while", route=self.name, reason=reason)
            self.pace = Pace()

    def _accepted(self, route: Route, now: float) -> None:
        self.pace.accepted(now)
        slowed = self._customers.get(route.customer or "")
        if slowed is not None:
            slowed.accepted(now)

    def _throttled(self, route: Route, now: float, retry_after_s: float) -> float:
        """Slow down the customer whose event was refused, and the route once a second customer's is: then it is not
        that customer's limit. Returns when to try again."""
        self._refused_by = {customer: at for customer, at in self._refused_by.items() if now - at < 1.0}
        self._refused_by[route.customer or ""] = now
        if route.customer is None or len(self._refused_by) > 1:
            self.pace.refused(now, retry_after_s)
        if route.customer is not None:
            slowed = self._customers.setdefault(route.customer, Pace())
            self._customers.move_to_end(route.customer)
            slowed.refused(now, retry_after_s)
            while len(self._customers) > SLOWED:
                self._customers.popitem(last=False)
        return max(retry_after_s, self.settings.resend_after_s) * random.uniform(1.0, 1.5)


def _overtaken(rows: list[Any]) -> list[Any]:
    """The consumptions that have failed, or wait behind one that has, and that a newer total of the same part makes
    needless: after an outage of weeks the gateway is told what is true now."""
    if not rows or not rows[0].attempts:
        return []
    newest = {(row.epoch, row.consumable, row.generation): row.id for row in rows if row.name == CONSUMED}
    return [row for row in rows if row.name == CONSUMED and newest[row.epoch, row.consumable, row.generation] != row.id]
