"""The thread that stores: takes arrivals in order, stores them many in one commit, and answers after it.

Of what has arrived, statuses are stored first, then descriptions, then up messages: each kind in the order in which it
came. While the database is away everything waits; the devices keep what is not acknowledged. What the database refuses
is set aside by itself.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tools.relay import logs, metrics
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.intake.edge import Arrival, Edge
from tools.relay.intake.story import Story
from tools.relay.settings import Clock
from tools.relay.store.acceptance import DEFERRED, Item, Outcome
from tools.relay.store.store import Store

log = logs.logger(__name__)
T = TypeVar("T")
BATCH = 500
MAX_PAUSE_S = 30.0
COMMANDS_EVERY_S = 0.5
WAITS_EVERY_S = 5.0


class Stopping(Exception):
    """The relay was stopped while the store did not answer."""


class Worker:
    """`run` works until `stopping` is set. `wake` is called when something may have been queued to Alexa."""

    def __init__(
        self, store: Store, fleet: Fleet, edge: Edge, arrivals: queues.Queue[Arrival], clock: Clock,
        command_resend_s: float, stopping: threading.Event, wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self.store = store
        self.fleet = fleet
        self.edge = edge
        self.answered = True
        """Whether the database answered when it was last asked."""
        self.turned_at = time.monotonic()
        """When the last turn of the loop began, by the monotonic clock."""
        self._arrivals = arrivals
        self._clock = clock
        self._command_resend_s = command_resend_s
        self._stopping = stopping
        self._wake = wake
        self._story = Story()

    def run(self) -> None:
        asked_at = ended_at = 0.0
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            try:
                self.process(self._take())
                if self.edge.connected and time.monotonic() - asked_at >= COMMANDS_EVERY_S:
                    asked_at = time.monotonic()
                    self._persist(lambda: self._send_commands(None))
                if time.monotonic() - ended_at >= WAITS_EVERY_S:
                    ended_at = time.monotonic()
                    if self._persist(self.store.end_waits):
                        self._wake()
            except Stopping:
                return

    def tend(self) -> None:
        """Do at once what time alone brings: send commands again, end waits. For who has no thread to `run` in."""
        self._persist(lambda: self._send_commands(None))
        self._persist(self.store.end_waits)

    def _take(self) -> list[Arrival]:
        """Return what has arrived, in order; [] after a short wait."""
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._arrivals.get(timeout=0.1))
            while len(arrivals) < BATCH:
                arrivals.append(self._arrivals.get_nowait())
        except queues.Empty:
            pass
        return arrivals

    def process(self, arrivals: list[Arrival]) -> None:
        """Store and answer. A broker is not kept waiting for what failed: the devices send again what has no answer."""
        try:
            self._store(arrivals)
        except Stopping:
            raise
        except Exception:
            self._done(arrivals)
            raise
        self._done(arrivals)

    def _store(self, arrivals: list[Arrival]) -> None:
        ups: list[tuple[Arrival, Item]] = []
        said: list[tuple[Arrival, wire.Online | wire.Offline]] = []
        abouts: list[tuple[Arrival, bytes]] = []
        for arrival in arrivals:
            try:
                if arrival.kind == "up":
                    ups.append((arrival, (arrival.device, arrival.payload, wire.decode_up(arrival.payload))))
                elif arrival.kind == "stray":
                    raise wire.Refused("not a device's topic")
                elif not arrival.payload:
                    pass  # somebody has cleared a retained message
                elif arrival.kind == "status":
                    said.append((arrival, wire.decode_status(arrival.payload)))
                else:
                    wire.decode_about(arrival.payload)
                    abouts.append((arrival, arrival.payload))
            except wire.Refused as error:
                log.warning("refused", topic=arrival.topic, reason=str(error))
                reason = error.reason
                self._persist(lambda reason=reason: self.store.refused(reason))  # type: ignore[misc]
        self._each(said, self._store_statuses)
        self._each(abouts, self._store_abouts)
        self._each(ups, self._store_ups)

    def _each(self, batch: list[tuple[Arrival, T]], work: Callable[[list[tuple[Arrival, T]]], None]) -> None:
        """Do it with all of them in one commit; where the database refuses that, with each by itself."""
        if not batch:
            return
        try:
            work(batch)
        except SQLAlchemyError:
            for one in batch:
                try:
                    work([one])
                except SQLAlchemyError:
                    log.exception("could not be stored", topic=one[0].topic)

    def _store_ups(self, batch: list[tuple[Arrival, Item]]) -> None:
        items = [item for _, item in batch]
        with metrics.COMMIT_SECONDS.time():
            try:
                outcomes = self._persist(lambda: self.store.accept(items))
            except SQLAlchemyError as error:
                if len(batch) > 1:
                    raise
                log.exception("could not be stored", topic=batch[0][0].topic)
                reason = f"the database refuses it: {type(error).__name__}"
                outcomes = [self._persist(lambda: self.store.set_aside(items[0], reason))]
        metrics.COMMIT_MESSAGES.observe(len(batch))
        for (arrival, (device, _, message)), outcome in zip(batch, outcomes, strict=True):
            self._tell(arrival, outcome)
            self._story.said(device, message, outcome)
            if outcome.nonce is not None:
                ack = wire.encode_ack(outcome.nonce, int(self._clock()), message.epoch, message.sequence)
                self.edge.send(device, ack)
        self._wake()

    @staticmethod
    def _tell(arrival: Arrival, outcome: Outcome) -> None:
        if outcome.reason:
            log.warning("kept aside", topic=arrival.topic, reason=outcome.reason)
        elif outcome.verdict == DEFERRED:
            log.info("left to a newer relay", topic=arrival.topic)

    def _store_statuses(self, batch: list[tuple[Arrival, wire.Online | wire.Offline]]) -> None:
        said = [(arrival.device, status) for arrival, status in batch]
        welcomes = self._persist(lambda: self.store.statuses(said))
        now_s = int(self._clock())
        online = []
        for (device, status), held in zip(said, welcomes, strict=True):
            if isinstance(status, wire.Offline) or held is None:
                self._story.gone(device)
            else:
                self._story.connected(device, status, held)
                online.append(device)
                payload = wire.encode_welcome(status.nonce, now_s, held.epoch, held.have_sequence, held.about_crc)
                self.edge.send(device, payload)
        if online:
            self._persist(lambda: self._send_commands(online))

    def _store_abouts(self, batch: list[tuple[Arrival, bytes]]) -> None:
        said = [(arrival.device, payload) for arrival, payload in batch]
        for device, payload in self._persist(lambda: self.store.abouts(said)):
            self._persist(lambda device=device, payload=payload: self.fleet.about(device, payload))  # type: ignore[misc]
        self._wake()

    def _send_commands(self, to: list[str] | None) -> None:
        for due in self.store.due_commands(self._command_resend_s, to):
            payload = wire.encode_command(due.nonce, int(self._clock()), due.number, due.operation, due.arguments)
            self.edge.send(due.device, payload)

    def _done(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            arrival.done()
            self._arrivals.task_done()

    def _persist(self, work: Callable[[], T]) -> T:
        """Do it, again with growing pauses while the database is away. The devices keep what is not stored."""
        pause_s = 0.1
        while True:
            try:
                done = work()
                self.answered = True
                return done
            except OperationalError as error:
                self.answered = False
                log.warning("the store does not answer", again_in_s=pause_s, error=str(error.orig))
            if self._stopping.wait(pause_s):
                raise Stopping
            self.turned_at = time.monotonic()
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
