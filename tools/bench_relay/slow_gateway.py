"""An event gateway that does nothing but wait and say 202, in a process of its own, so that it is not what is measured.

`SlowGateway(latency_s)` runs it; `taken()` asks how many events it has taken and how many of them came again.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from urllib.request import urlopen

_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_ID = b'"messageId": "'


class _Connection(asyncio.Protocol):
    """Takes requests one after another; answers each POST after `latency_s`, a GET at once with what it has taken."""

    def __init__(self, latency_s: float, ids: set[bytes], again: list[bytes]) -> None:
        self._latency_s = latency_s
        self._ids = ids
        self._again = again
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, rest = self._received[:end].lower(), self._received[end + 4 :]
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._answer(head, rest[:length])

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get "):
            said = b"%d %d" % (len(self._ids), len(self._again))
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
            return
        id = body.partition(_ID)[2][:36]
        if id in self._ids:
            self._again.append(id)
        self._ids.add(id)
        asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, _ACCEPTED)


class SlowGateway:
    """The process. `url` is its base address."""

    def __init__(self, latency_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(latency_s)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the gateway's stand-in did not start")
        self.url = f"http://127.0.0.1:{port}"

    def taken(self) -> tuple[int, int]:
        """Return how many different events came, and how many came again."""
        with urlopen(self.url, timeout=10) as answer:
            different, again = answer.read().split()
        return int(different), int(again)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


async def _serve(latency_s: float) -> None:
    ids: set[bytes] = set()
    again: list[bytes] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s, ids, again), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
