"""What an operator may do with a device from its page: each under their name, with a reason, in the audit log."""

from __future__ import annotations

from collections.abc import Callable

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.pages.access import Person
from tools.relay.store import schema
from tools.relay.store.store import Store

LABELS = {
    "report": "Ask for a report",
    "send-now": "Tell Alexa again",
    "replay": "Queue dead letters again",
    "test": "Make it a test device",
    "customer": "Make it a customer's device",
}
MAX_REASON = 200


class ActionRefused(Exception):
    """It cannot be done; the text says why."""


class Actions:
    """Acts on the store. `do` raises ActionRefused."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fleet = fleet = Fleet(store)
        self._how: dict[str, Callable[[str], str]] = {
            "report": lambda device: f"command {store.add_command(device, wire.REPORT_NOW, [])}",
            "send-now": lambda device: f"{fleet.send_now(device)} events queued",
            "replay": lambda device: "{} events queued again, {} overtaken".format(*fleet.replay(device)),
            "test": lambda device: self._mark_test(device, True),
            "customer": lambda device: self._mark_test(device, False),
        }

    def do(self, person: Person, action: str, device: str, reason: str) -> None:
        """Do it and note it. The reason is for whoever reads the log later."""
        if not person.may_act:
            raise ActionRefused("only an operator may do that")
        if action not in self._how:
            raise ActionRefused("there is no such action")
        reason = " ".join(reason.split())[:MAX_REASON]
        if not reason:
            raise ActionRefused("a reason is needed")
        if not self.store.count(schema.devices, device=device):
            raise ActionRefused("no such device has been heard of")
        result = self._how[action](device)
        self.store.note(person.name, action, device, f"{reason} ({result})")

    def _mark_test(self, device: str, test: bool) -> str:
        self.fleet.mark_test(device, test)
        return "its events go to the gateway for tests, or nowhere" if test else "its events go to its owner's Alexa"
