"""The skill's side: Alexa asks with a directive, `handler(directive, context)` answers.

`handler` here is what a function-as-a-service runs: it reads its settings from the environment (RELAY_STORE, RELAY_KEY,
RELAY_REGION, RELAY_LWA_CLIENT_ID, RELAY_LWA_CLIENT_SECRET) once. Errors are Alexa's error responses, never exceptions.
"""

from __future__ import annotations

import time
import uuid
from functools import cache
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tools.relay import logs
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.owners import owners_only
from tools.relay.core import events
from tools.relay.delivery.lwa import LwaRefused, LwaUnreachable
from tools.relay.settings import Settings, load
from tools.relay.store.store import Store

log = logs.logger(__name__)
MAX_ENDPOINTS = 300


class DirectiveError(Exception):
    """What Alexa is to be answered; `kind` is one of its error types."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Skill:
    """Answers directives from what the store holds.

    Without `accounts` nobody can be told from anybody else: nothing is answered, unless it is `for_tests` on this
    machine alone, where every device is discovered.
    """

    def __init__(
        self, settings: Settings, store: Store, accounts: Accounts | None = None, for_tests: bool = False
    ) -> None:
        self.settings = settings
        self.fleet = Fleet(store)
        self.accounts = accounts
        self.for_tests = for_tests

    def handler(self, directive: dict[str, Any], context: Any = None) -> dict[str, Any]:
        """Return the answer to a directive; `context` is the function platform's and not used."""
        body: Any = directive.get("directive") if isinstance(directive, dict) else None
        try:
            return self._answer(body)
        except DirectiveError as error:
            return self._error(body, error.kind, str(error))
        except (SQLAlchemyError, LwaUnreachable) as error:
            log.error("a directive could not be answered", error=type(error).__name__)
            return self._error(body, "INTERNAL_ERROR", "try again later")

    def _answer(self, body: Any) -> dict[str, Any]:
        name = (_get(body, "header", "namespace"), _get(body, "header", "name"))
        if _get(body, "header", "payloadVersion") != "3":
            raise DirectiveError("INVALID_DIRECTIVE", "not a directive of payload version 3")
        if name == ("Alexa.Discovery", "Discover"):
            return self._discover(_get(body, "payload", "scope", "token"))
        if name == ("Alexa.Authorization", "AcceptGrant"):
            return self._accept_grant(_get(body, "payload", "grant", "code"), _get(body, "payload", "grantee", "token"))
        if name == ("Alexa", "ReportState"):
            return self._report_state(body)
        raise DirectiveError("INVALID_DIRECTIVE", f"no interface here has {name[0]} {name[1]}")

    def _discover(self, token: Any) -> dict[str, Any]:
        endpoints = self.fleet.discover(self._customer(token))
        if len(endpoints) > MAX_ENDPOINTS:
            log.warning("a customer has too many devices", devices=len(endpoints), told=MAX_ENDPOINTS)
        return events.discover_response(str(uuid.uuid4()), endpoints[:MAX_ENDPOINTS])

    def _accept_grant(self, code: Any, token: Any) -> dict[str, Any]:
        try:
            if self.accounts is None or not isinstance(code, str) or not isinstance(token, str):
                raise DirectiveError("ACCEPT_GRANT_FAILED", "no code, no token, or no accounts here")
            self.accounts.accept_grant(code, token)
        except (LwaRefused, LwaUnreachable) as error:
            raise DirectiveError("ACCEPT_GRANT_FAILED", f"Login with Amazon: {error}") from error
        header = events.header("Alexa.Authorization", "AcceptGrant.Response", str(uuid.uuid4()))
        return {"event": {"header": header, "payload": {}}}

    def _report_state(self, body: Any) -> dict[str, Any]:
        """The usage sensor has no property to report: its events say everything."""
        customer = self._customer(_get(body, "endpoint", "scope", "token"))
        device = _get(body, "endpoint", "endpointId")
        if device not in [endpoint["endpointId"] for endpoint in self.fleet.discover(customer, note=False)]:
            raise DirectiveError("NO_SUCH_ENDPOINT", "not a device of this customer")
        correlation = _get(body, "header", "correlationToken")
        if not isinstance(correlation, str):
            raise DirectiveError("INVALID_DIRECTIVE", "no correlation token")
        header = events.header("Alexa", "StateReport", str(uuid.uuid4()), correlation)
        event = {"header": header, "endpoint": {"endpointId": device}, "payload": {}}
        return {"event": event, "context": {"properties": []}}

    def _customer(self, token: Any) -> str | None:
        """Return whose token it is; None, for every device, where there are no accounts."""
        if self.accounts is None:
            if not self.for_tests:
                log.error("a directive was refused: the skill has no key (RELAY_KEY), so it knows no customer")
                raise DirectiveError("INTERNAL_ERROR", "the skill is not set up")
            return None
        if not isinstance(token, str):
            raise DirectiveError("INVALID_AUTHORIZATION_CREDENTIAL", "no bearer token")
        try:
            return self.accounts.customer_of(token)
        except LwaRefused as error:
            raise DirectiveError("INVALID_AUTHORIZATION_CREDENTIAL", "the token is not valid") from error

    def _error(self, body: Any, kind: str, message: str) -> dict[str, Any]:
        grant = kind == "ACCEPT_GRANT_FAILED"
        correlation = _get(body, "header", "correlationToken")
        event: dict[str, Any] = {
            "header": events.header(
                "Alexa.Authorization" if grant else "Alexa",
                "ErrorResponse",
                str(uuid.uuid4()),
                correlation if isinstance(correlation, str) else None,
            ),
            "payload": {"type": kind, "message": message},
        }
        device = _get(body, "endpoint", "endpointId")
        if isinstance(device, str) and device:
            event["endpoint"] = {"endpointId": device}
        return {"event": event}


def _get(value: Any, *path: str) -> Any:
    """Return the member at the path, None where there is none."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def open_skill(settings: Settings, store: Store | None = None, for_tests: bool = False) -> Skill:
    """Return a skill on the settings' store. `for_tests`: without a key it answers all the same."""
    store = store or Store(settings.store, time.time, owners_only=owners_only(settings))
    return Skill(settings, store, Accounts(settings, store, time.time) if settings.key else None, for_tests)


@cache
def _from_environment() -> Skill:
    return open_skill(load())


def handler(directive: dict[str, Any], context: Any = None) -> dict[str, Any]:
    """The function to deploy."""
    return _from_environment().handler(directive, context)
