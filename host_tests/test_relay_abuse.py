"""Who means ill by the relay's web server: long and deep bodies, guesses in a row, connections that say nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from tools.relay.accounts.skill import Skill, open_skill
from tools.relay.pages import guesses, server
from tools.relay.pages.access import Access
from tools.relay.pages.guesses import Guesses, TooManyGuesses
from tools.relay.pages.server import Server
from tools.relay.pages.view import View
from tools.relay.pages.web import application, pages
from tools.relay.settings import Settings
from tools.relay.store.store import Store
from tools.relay.testing import Clock

TOKEN = "only-for-readers-of-pages"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DISCOVER = {"directive": {"header": {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"}}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/relay.sqlite3", Clock())
    yield store
    store.close()


@pytest.fixture
def port(store: Store) -> Iterator[int]:
    """Where the pages are served."""
    view = View(store, Clock())
    running = Server(pages(view, TOKEN, Clock(), store), "127.0.0.1:0", view)
    running.start()
    yield running.port
    running.stop()


@pytest.fixture
def skill_port(store: Store) -> Iterator[int]:
    running = Server(application(Skill(Settings(), store, for_tests=True)), "127.0.0.1:0")
    running.start()
    yield running.port
    running.stop()


def push(port: int, head: bytes, piece: bytes, most_bytes: int) -> tuple[int, bytes]:
    """Send the head and then pieces until the server answers or has taken `most_bytes`; returns how many, and what it
    answered."""
    taken, rest = 0, piece
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head)
        connection.setblocking(False)
        by = time.monotonic() + 20
        while time.monotonic() < by:
            try:
                answer = connection.recv(4096)
                return taken, answer
            except BlockingIOError:
                pass
            if taken < most_bytes:
                try:
                    sent = connection.send(rest)
                    taken, rest = taken + sent, rest[sent:] or piece
                except BlockingIOError:
                    time.sleep(0.001)
    return taken, b""


@pytest.mark.parametrize("path", ["/skill", "/login"])
@pytest.mark.parametrize("length", [b"content-length: 200000000", b"transfer-encoding: chunked"])
def test_a_body_of_200_megabytes_is_refused_before_it_is_read(
    port: int, skill_port: int, path: str, length: bytes
) -> None:
    head = b"POST %s HTTP/1.1\r\nhost: relay\r\n%s\r\n\r\n" % (path.encode(), length)
    piece = b"x" * 4096
    if b"chunked" in length:
        piece = b"1000\r\n" + piece + b"\r\n"
    taken, answer = push(skill_port if path == "/skill" else port, head, piece, 200_000_000)
    assert b" 413 " in answer and taken < 20_000_000  # what went into buffers before the answer was there


def test_a_body_that_does_not_come_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.relay.pages.body.WITHIN_S", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nhost: relay\r\ncontent-length: 30\r\n\r\ntoken=")
        assert b" 408 " in connection.recv(4096)


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"directive":' * 4_000, b'{"directive":' * 900 + b"1" + b"}" * 900])
def test_brackets_in_brackets_are_no_directive_and_no_error_of_ours(store: Store, body: bytes) -> None:
    answer = TestClient(application(Skill(Settings(), store, for_tests=True))).post("/skill", content=body)
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json()["event"]["payload"]["type"] == "INVALID_DIRECTIVE"


# ---- guesses


@pytest.mark.parametrize(("where", "count"), [("/login", 60), ("/", 60), ("/api/fleet", 600), ("/metrics", 60)])
def test_of_many_guesses_in_a_row_ten_are_looked_at(port: int, where: str, count: int) -> None:
    """On the form, as a bearer of the pages, of the API, of the metrics; whoever has signed in goes on."""
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base) as client, httpx.Client(base_url=base) as signed_in:
        signed_in.post("/login", data={"token": TOKEN})
        statuses = []
        for number in range(count):
            guess = f"guess-number-{number:04}"
            if where == "/login":
                answer = client.post(where, data={"token": guess})
            else:
                answer = client.get(where, headers={"Authorization": f"Bearer {guess}"})
            statuses.append(answer.status_code)
        assert statuses[:10] == [303 if where == "/" else 401] * 10
        assert statuses.count(429) > 0.8 * count - 10 and int(answer.headers["retry-after"]) <= guesses.EACH_S
        assert client.get(where, headers=BEARER).status_code == (200 if where == "/login" else 429)
        assert signed_in.get("/").status_code == 200


def test_behind_a_proxy_each_guesser_is_slowed_by_their_own_address(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        guesser, other = {"X-Forwarded-For": "203.0.113.5"}, {"X-Forwarded-For": "203.0.113.6"}
        for _ in range(guesses.BURST):
            client.get("/metrics", headers={**guesser, "Authorization": "Bearer a wrong one"})
        statuses = [client.get("/metrics", headers={**BEARER, **whose}).status_code for whose in (guesser, other)]
        assert statuses == [429, 200]


def test_a_guesser_is_heard_again_after_a_while_and_others_all_the_time() -> None:
    clock = Clock(0.0)
    counted = Guesses(clock)
    for _ in range(guesses.BURST):
        counted.check("2001:db8::1")
        counted.wrong("2001:db8::1")
    for address in ("2001:db8::1", "2001:db8::ffff:2"):
        with pytest.raises(TooManyGuesses, match="again in 6 s"):
            counted.check(address)
    for other in ("2001:db8:0:1::1", "192.0.2.1", "no address"):
        counted.check(other)
    clock.now_s = guesses.EACH_S
    counted.check("2001:db8::1")
    counted.wrong("2001:db8::1")
    with pytest.raises(TooManyGuesses):
        counted.check("2001:db8::1")


def test_of_guessers_without_end_the_latest_are_remembered() -> None:
    counted = Guesses(Clock(0.0))
    for number in range(guesses.ADDRESSES + 10):
        counted.wrong(f"10.0.{number // 256}.{number % 256}")
    assert len(counted._even_at) == guesses.ADDRESSES


@pytest.mark.parametrize(
    "token", ["short", "a" * 16, "a" * 64, "abc" * 8, "0123456789abcdef", "zyxwvutsrqponmlkjihg", "1234567812345678"]
)
def test_a_token_that_could_be_guessed_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(ValueError, match="at least 16 characters that is hard to guess"):
        Access(token)
    with pytest.raises(ValueError, match="hard to guess"):
        Access(TOKEN, f"anna:{token}")


# ---- connections that say nothing


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"POST /login HTTP/1.1\r\nhost: relay\r\ncontent-length: 9\r\n\r\n"]
)
def test_eighty_half_open_connections_blind_neither_pages_nor_metrics(port: int, said: bytes) -> None:
    with ExitStack() as open_ones:
        for _ in range(80):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            connection.sendall(said)
        for path in ("/", "/metrics", "/api/fleet"):
            before = time.monotonic()
            assert httpx.get(f"http://127.0.0.1:{port}{path}", headers=BEARER).status_code == 200
            assert time.monotonic() - before < 5


def test_a_connection_that_asks_for_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its beginning, and after an answer however it goes on."""
    monkeypatch.setattr(server, "SILENT_S", 0.3)
    ask = b"GET /login HTTP/1.1\r\nhost: relay\r\n\r\n"
    for said in (b"", b"GET / HT", ask, ask + b"GET / HT"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(said)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass


# ---- without a key


def test_without_a_key_the_skill_answers_nobody_and_says_why(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    answer = open_skill(Settings(), store).handler(DISCOVER)
    assert answer["event"]["payload"]["type"] == "INTERNAL_ERROR"
    assert any("no key" in str(record.msg) for record in caplog.records)


def test_the_key_less_skill_for_tests_listens_on_loopback_alone_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tools.relay", "serve-skill", "--port", str(port)]
    command += ["--store", f"sqlite:///{tmp_path}/skill.sqlite3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None and "only tests on this machine" in process.stderr.readline()
            by = time.monotonic() + 20
            while time.monotonic() < by:
                try:
                    answer = httpx.post(f"http://127.0.0.1:{port}/skill", json=DISCOVER)
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert answer.json()["event"]["payload"] == {"endpoints": []}
            with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=2):
                pass
        finally:
            process.terminate()
