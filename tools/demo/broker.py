"""An MQTT broker in this process, on a free loopback port, in a thread of its own.

with EmbeddedBroker() as broker:
    ... broker.port ...
"""

from __future__ import annotations

import asyncio
import logging
import threading
from types import TracebackType

from amqtt.broker import Broker

START_S = 10.0
STOP_S = 5.0


class BrokerError(Exception):
    """The broker did not start; the message is one line."""


class EmbeddedBroker:
    """amqtt on 127.0.0.1. `stop` and `start` again: the same port, and nothing remembered, as after a wiped broker."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> EmbeddedBroker:
        """Returns once connections are accepted, within 10 s. Raises BrokerError."""
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_S):
            raise BrokerError("the embedded broker did not start within 10 s")
        if self._failure is not None:
            raise BrokerError(f"the embedded broker did not start: {self._failure}") from self._failure
        return self

    def stop(self) -> None:
        """Closes every connection; returns within 5 s. Stopping twice does nothing."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stopping is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._stopping.set)
        except RuntimeError:  # its loop has already ended
            pass
        thread.join(STOP_S)

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to start(), which raises it in the caller's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}", "max_connections": 200}},
                "timeout_disconnect_delay": 0,
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        try:
            for server in broker._servers.values():
                self.port = server.instance.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stopping.wait()
        finally:
            await asyncio.wait_for(broker.shutdown(), STOP_S)
