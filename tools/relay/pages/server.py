"""An HTTP server in a thread, whose connections must ask for something.

A connection that is open and asks for nothing costs its place: it is closed after SILENT_S, and earlier where more than
MOST_SILENT are. So whoever opens many and says nothing, or half of something, keeps nobody else out.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from tools.relay.pages.view import View

SILENT_S = 10.0
MOST_SILENT = 64
MOST = 512
"""Connections in all; each further one is answered with 503."""


class Connection(H11Protocol):
    """One connection; silent while it has no whole request in hand."""

    _until: asyncio.TimerHandle | None = None

    @property
    def silent(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._listen()
        silent = [one for one in self.connections if isinstance(one, Connection) and one.silent and one._until]
        if len(silent) > MOST_SILENT:
            min(silent, key=lambda one: one._until.when() if one._until else 0.0).hang_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.silent:
            self._heard()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.silent and not self.transport.is_closing():
            self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard()
        super().connection_lost(exc)

    def hang_up(self) -> None:
        self._heard()
        self.transport.abort()

    def _listen(self) -> None:
        self._heard()
        self._until = self.loop.call_later(SILENT_S, self.hang_up)

    def _heard(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None


class Server:
    """Serves an application at HOST:PORT in a thread. Raises ValueError where it cannot listen there."""

    def __init__(self, app: Starlette, address: str, view: View | None = None) -> None:
        self._view = view
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{address!r} is not HOST:PORT")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=MOST)
        except OSError as error:
            raise ValueError(f"the pages cannot be served at {address}: {error.strerror or error}") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app, http=Connection, log_config=None, access_log=False, lifespan="off", server_header=False,
            limit_concurrency=MOST, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="relay-web", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more; returns when the thread has ended."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        if self._view is not None:
            self._view.close()
