"""What an operator may do with a device from its page: each under their name, with a reason, in the audit log."""

from __future__ import annotations

from collections.abc import Callable

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.pages.access import Person
from tools.relay.store import schema
from tools.relay.store.store import Refusal, Store

LABELS = {
    "report": "Ask for a report",
    "send-now": "Tell Alexa again",
    "replay": "Queue dead letters again",
    "test": "Make it a test device",
    "customer": "Make it a customer's device",
    "reset": "Begin anew with its next message",
    "readmit": "Believe a message kept aside",
}
MAX_REASON = 200


class ActionRefused(Exception):
    """It cannot be done; the text says why."""


class Actions:
    """Acts on the store. `do` raises ActionRefused."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fleet = fleet = Fleet(store)
        self._how: dict[str, Callable[[str, str], str]] = {
            "report": lambda device, _: f"command {store.add_command(device, wire.REPORT_NOW, [])}",
            "send-now": lambda device, _: f"{fleet.send_now(device)} events queued",
            "replay": lambda device, _: "{} events queued again, {} overtaken".format(*fleet.replay(device)),
            "test": lambda device, _: self._mark_test(device, True),
            "customer": lambda device, _: self._mark_test(device, False),
            "reset": lambda device, _: f"epochs forgotten: {store.reset(device)}",
            "readmit": self._readmit,
        }

    def do(self, person: Person, action: str, device: str, reason: str, number: str = "") -> None:
        """Do it and note it. The reason is for readers of the log; `number` is that of a message to readmit."""
        if not person.may_act:
            raise ActionRefused("only an operator may do that")
        if action not in self._how:
            raise ActionRefused("there is no such action")
        reason = " ".join(reason.split())[:MAX_REASON]
        if not reason:
            raise ActionRefused("a reason is needed")
        if not self.store.count(schema.devices, device=device):
            raise ActionRefused("no such device has been heard of")
        result = self._how[action](device, number.strip())
        self.store.note(person.name, action, device, f"{reason} ({result})")

    def _readmit(self, device: str, number: str) -> str:
        if not number.isdecimal() or len(number) > 18:
            raise ActionRefused("the number of the message is needed")
        if not self.store.count(schema.quarantine, id=int(number), device=device):
            raise ActionRefused(f"no message of this device is kept aside under {number}")
        try:
            self.store.readmit(int(number))
        except Refusal as error:
            raise ActionRefused(str(error)) from error
        return f"message {number}"

    def _mark_test(self, device: str, test: bool) -> str:
        self.fleet.mark_test(device, test)
        return "its events go to the gateway for tests, or nowhere" if test else "its events go to its owner's Alexa"
