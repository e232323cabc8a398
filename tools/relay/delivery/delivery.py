"""Sends what is queued: an event loop in a thread, with a lane for each route and one bookkeeper for the database.

The bookkeeper commits what has come of all events since its last turn and leases what the lanes have room for, in one
transaction: at a thousand events a second a commit for each would be what limits it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tools.relay import logs, metrics
from tools.relay.delivery.gateway_client import GatewayClient
from tools.relay.delivery.lane import Lane
from tools.relay.delivery.leases import Leased, Settled
from tools.relay.delivery.routes import Routes
from tools.relay.settings import Settings
from tools.relay.store.store import Store

log = logs.logger(__name__)
GATHER_S = 0.02
POLL_S = 0.25
FORGET_EVERY_S = 60.0
STOP_S = 2.0
MAX_PAUSE_S = 5.0
SENDERS_WHILE_BUSY, GATHER_WHILE_BUSY_S = 32, 0.25


class Delivery:
    """Sends until `stopping` is set; `run` is the body of its thread.

    While `busy()`, devices wait for their acknowledgments, and each lane sends little: Alexa can wait, and a queue of a
    million events takes hours in any case.
    """

    def __init__(
        self, settings: Settings, store: Store, routes: Routes, stopping: threading.Event,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.store = store
        self.routes = routes
        self.lanes: dict[str, Lane] = {}
        self._stopping = stopping
        self._busy = busy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: list[tuple[Settled, asyncio.Future[bool]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something has been queued. May be called from any thread."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._woken.set)
            except RuntimeError:  # it has just ended
                return

    def run(self) -> None:
        """May be run again after an error of its own: what was in hand is sent again when its lease has ended."""
        self._settled, self._tasks = [], set()
        with ThreadPoolExecutor(1, thread_name_prefix="relay-bookkeeper") as self._database:
            asyncio.run(self._run())

    async def _run(self) -> None:
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        client = GatewayClient(self.settings.senders, self.settings.deadline_s)
        for name in self.routes.names:
            self.lanes[name] = Lane(name, self.settings, self.routes, client, self._settle, self._mark)
            metrics.watch(name, self.lanes[name])
        try:
            await self._keep_books()
        finally:
            self._loop = None
            for task in self._tasks:
                task.cancel()
            await self.routes.close()
            await client.close()

    async def _keep_books(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, forget_at, stop_by = 0.1, 0.0, float("inf")
        while loop.time() < stop_by and not (self._stopping.is_set() and not self._tasks):
            if self._stopping.is_set():
                stop_by = min(stop_by, loop.time() + STOP_S)
                for lane in self.lanes.values():
                    lane.closing = True
            self._woken.clear()
            rooms = {name: self._room(lane, loop.time()) for name, lane in self.lanes.items()}
            settled, self._settled = self._settled, []
            until = loop.time() + self.settings.lease_s
            try:
                if settled or any(rooms.values()):
                    lost, leased = await self._call(self._turn, [one for one, _ in settled], rooms)
                    for one, noted in settled:
                        if not noted.done():
                            noted.set_result(one.leased.device not in lost)
                    for endpoint in leased:
                        self._start(endpoint, until)
                if loop.time() >= forget_at:
                    forget_at = loop.time() + (0.0 if await self._call(self._forget) else FORGET_EVERY_S)
                pause_s = 0.1
            except SQLAlchemyError as error:
                log.warning("the store does not answer", again_in_s=pause_s, error=str(error).splitlines()[0])
                self._settled = settled + self._settled
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            await self._pause()

    def _room(self, lane: Lane, now: float) -> int:
        if self._stopping.is_set():
            return 0
        return lane.room(now, min(self.settings.senders, SENDERS_WHILE_BUSY) if self._busy() else self.settings.senders)

    async def _pause(self) -> None:
        """Wait for news, and then for what comes with it: a commit costs the same for one event as for a hundred."""
        try:
            await asyncio.wait_for(self._woken.wait(), POLL_S)
        except asyncio.TimeoutError:
            return
        await asyncio.sleep(GATHER_WHILE_BUSY_S if self._busy() else GATHER_S)

    def _start(self, leased: Leased, until: float) -> None:
        task = asyncio.create_task(self.lanes[leased.route].serve(leased, until))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._woken.set()

    async def _settle(self, settled: Settled) -> bool:
        noted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._settled.append((settled, noted))
        self._woken.set()
        return await noted

    async def _mark(self, leased: Leased, row: Any) -> int:
        def mark() -> int:
            with self.store.begin() as connection:
                return self.store.leases.mark(connection, row)

        return int(await self._call(mark))

    async def _call(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._database, work, *arguments)

    # ---- in the bookkeeper's thread

    def _turn(self, settled: list[Settled], rooms: dict[str, int]) -> tuple[set[str], list[Leased]]:
        try:
            return self._commit(settled, rooms)
        except OperationalError:
            raise
        except SQLAlchemyError:  # one of them is the cause; the others must not suffer for it
            for one in settled:
                try:
                    self._commit([one], {})
                except OperationalError:
                    raise
                except SQLAlchemyError:
                    log.exception("what came of an event could not be noted", device=one.leased.device)
            return set(), []

    def _commit(self, settled: list[Settled], rooms: dict[str, int]) -> tuple[set[str], list[Leased]]:
        with self.store.begin() as connection:
            lost = self.store.leases.settle(connection, settled) if settled else set()
            return lost, self.store.leases.lease(connection, rooms, self.settings.lease_s)

    def _forget(self) -> int:
        with self.store.begin() as connection:
            return self.store.outbox.forget(connection, self.settings.keep_sent_s)
