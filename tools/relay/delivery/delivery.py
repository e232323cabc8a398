"""The queue to the gateway: in order for each endpoint, an event again with the same message id until it is settled.

What an answer means is FACTS of Amazon's pages: 202 settles it; 400, 403, 404, 413 are never sent again; 401 is sent
once more with a renewed token; 429, 500, 503 up to `resends` times, at least `resend_after_s` apart. No answer at all
is the network's trouble: it is tried until there is one. After the last resend a consumption is a dead letter, since
the next report's total replaces it; a replacement and a discovery report have no such successor, so they wait
`pause_s` and begin again, and what follows for that endpoint waits behind them.
"""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tools.relay import logs, metrics
from tools.relay.core import events, wire
from tools.relay.delivery.gateway_client import Answer, GatewayClient, Unreachable
from tools.relay.delivery.routes import NoRoute, Route, Routes
from tools.relay.settings import INCREMENT, Clock, Settings
from tools.relay.store.store import Store

log = logs.logger(__name__)
SENDERS = 8
TEMPORARY = (429, 500, 503)
MAX_PAUSE_S = 3600.0


class Delivery:
    """Sends what is queued until `stopping` is set; `run` is the body of its thread."""

    def __init__(
        self, settings: Settings, store: Store, routes: Routes, clock: Clock, stopping: threading.Event
    ) -> None:
        self.settings = settings
        self.store = store
        self.routes = routes
        self.clock = clock
        self.client = GatewayClient()
        self._owner = str(uuid.uuid4())
        self._stopping = stopping
        self._wake = threading.Event()

    def wake(self) -> None:
        """Something has been queued."""
        self._wake.set()

    def run(self) -> None:
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="relay-send") as senders:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    rows = self.store.lease_heads(self._owner, self.settings.lease_s, SENDERS)
                    list(senders.map(self._try, rows))
                except SQLAlchemyError as error:
                    log.warning("the store does not answer", error=str(error))
                    rows = []
                    self._stopping.wait(1.0)
                if not rows:
                    self._wake.wait(0.1)
        self.client.close()

    def _try(self, row: Any) -> None:
        try:
            self.deliver(row)
        except SQLAlchemyError:
            raise
        except Exception:  # an error of ours with one event must not stop all others
            log.exception("could not be sent", device=row.device, name=row.name)
            self.store.postpone(row, MAX_PAUSE_S, "an error of the relay's own, see its log")

    def deliver(self, row: Any) -> None:
        """Send one row of the queue, and note in the store what came of it."""
        try:
            route = self.routes.route(row)
            answer = self._post(row, route)
            if answer.status == 401:
                renewed = self.routes.renew(route)
                if renewed is not None:
                    route, answer = renewed, self._post(row, renewed)
        except NoRoute as error:
            self._dead(row, str(error))
            return
        except Unreachable as error:
            metrics.ANSWERS.labels("none").inc()
            log.warning("no answer from the gateway", device=row.device, error=str(error))
            self.store.postpone(row, self.settings.unreachable_after_s, f"no answer: {error}", count=False)
            return
        if answer.accepted:
            self.store.sent(row)
        elif answer.status in TEMPORARY or answer.status < 400:
            self._again(row, answer)
        else:
            if answer.code == "SKILL_DISABLED_EXCEPTION":
                self.routes.revoke(route, answer.code)
            self._dead(row, str(answer))

    def _post(self, row: Any, route: Route) -> Answer:
        answer = self.client.post(route.url, route.token, self._message(row, route.token))
        metrics.ANSWERS.labels(str(answer.status)).inc()
        return answer

    def _message(self, row: Any, token: str) -> dict[str, Any]:
        if row.name == "AddOrUpdateReport":
            return events.add_or_update_report(row.message_id, token, json.loads(row.body))
        if row.name == "DeleteReport":
            return events.delete_report(row.message_id, token, json.loads(row.body))
        instances = {part.id: part.instance for part in wire.decode_about(row.about).consumables}
        if row.consumable not in instances:
            raise NoRoute("the device no longer has this consumable")
        instance = instances[row.consumable]
        if row.name == events.REPLACED:
            return events.inventory_replaced(row.message_id, row.device, token, instance, row.utc_s)
        usage_s = row.usage_s
        if self.settings.usage == INCREMENT:
            usage_s = max(0, usage_s - self.store.gateway_value(row))
        return events.inventory_consumed(row.message_id, row.device, token, instance, usage_s, row.utc_s)

    def _again(self, row: Any, answer: Answer) -> None:
        """Resends double their distance; a round is the first try and its resends."""
        tried = row.attempts % (self.settings.resends + 1)
        if tried < self.settings.resends:
            self.store.postpone(row, self.settings.resend_after_s * 2**tried, str(answer))
        elif row.name == events.CONSUMED:
            self._dead(row, str(answer))
        else:
            rounds = row.attempts // (self.settings.resends + 1)
            self.store.postpone(row, min(self.settings.pause_s * 2 ** min(rounds, 16), MAX_PAUSE_S), str(answer))

    def _dead(self, row: Any, reason: str) -> None:
        log.warning("dead letter", device=row.device, name=row.name, reason=reason)
        self.store.dead(row, reason)
