"""Who may look, and who may act: a reader has the token of the pages, an operator a token of their own.

A token is given as a bearer header, or once in the form, which answers with a cookie that is good for a day. Whoever
guesses is slowed down (guesses.py). What an operator does is done under their name.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from itertools import pairwise

from starlette.requests import Request
from starlette.responses import Response

from tools.relay.pages.guesses import Guesses

MIN_TOKEN = 16
MIN_DIFFERENT = 8
COOKIE = "wearmeter"
SESSION_S = 86400
READER, OPERATOR = "reader", "operator"


@dataclass(frozen=True)
class Person:
    """Somebody who has given a token."""

    name: str
    role: str

    @property
    def may_act(self) -> bool:
        return self.role == OPERATOR


class Access:
    """Knows the tokens. `operators` is NAME:TOKEN, several comma-separated. Raises ValueError for a weak token."""

    def __init__(self, token: str, operators: str | None = None) -> None:
        self._tokens: dict[Person, bytes] = {Person(READER, READER): _strong(token)}
        for entry in (operators or "").split(","):
            name, _, own = entry.strip().partition(":")
            if entry.strip():
                if not name.isidentifier() or len(name) > 32:
                    raise ValueError("operators are NAME:TOKEN, comma-separated; a NAME is letters, digits and _")
                self._tokens[Person(name, OPERATOR)] = _strong(own)
        if len(set(self._tokens.values())) < len(self._tokens):
            raise ValueError("each operator needs a token of their own, other than the readers'")
        self._guesses = Guesses()

    def by_token(self, given: str, request: Request) -> Person | None:
        """Return whose token this is; it takes equally long for every token. Raises TooManyGuesses."""
        address = request.client.host if request.client else ""
        self._guesses.check(address)
        found = None
        for person, token in self._tokens.items():
            if hmac.compare_digest(given.encode("utf-8", "replace"), token):
                found = person
        if found is None:
            self._guesses.wrong(address)
        return found

    def who(self, request: Request) -> Person | None:
        """Return who asks, by header or cookie. Raises TooManyGuesses."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.by_token(given, request)
        name, _, rest = request.cookies.get(COOKIE, "").partition(".")
        until, _, mark = rest.partition(".")
        for person in self._tokens:
            right = self._mark(person, f"pages until {until}")
            if person.name == name and hmac.compare_digest(mark.encode(), right.encode()):
                return person if until.isdecimal() and time.time() < int(until) else None
        return None

    def remember(self, answer: Response, person: Person, secure: bool) -> None:
        """Give the browser the cookie."""
        until = str(int(time.time()) + SESSION_S)
        value = f"{person.name}.{until}.{self._mark(person, f'pages until {until}')}"
        answer.set_cookie(COOKIE, value, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)

    def form_mark(self, request: Request, person: Person) -> str:
        """Return what a form of ours carries, so that no other site's form is taken for one."""
        return self._mark(person, f"form of {request.cookies.get(COOKIE, '')}")

    def is_ours(self, request: Request, person: Person, mark: str) -> bool:
        """Whether the form came from a page of ours. A bearer header no other site can send."""
        if request.headers.get("authorization"):
            return True
        return hmac.compare_digest(mark.encode("utf-8", "replace"), self.form_mark(request, person).encode())

    def _mark(self, person: Person, text: str) -> str:
        return hmac.new(self._tokens[person], text.encode(), hashlib.sha256).hexdigest()


def forget(answer: Response) -> None:
    """Take the cookie back."""
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _strong(token: str) -> bytes:
    """Return the token. Raises ValueError for one that is short, or long and simple (sixteen a, 0123456789abcdef)."""
    steps = [ord(after) - ord(before) for before, after in pairwise(token)]
    simple = len(set(token)) < MIN_DIFFERENT or max(map(steps.count, steps)) > len(steps) // 2
    if len(token) < MIN_TOKEN or simple:
        raise ValueError(
            f"the pages need a token of at least {MIN_TOKEN} characters that is hard to guess, for instance what "
            "`openssl rand -hex 16` prints: --web-token or RELAY_WEB_TOKEN"
        )
    return token.encode()
