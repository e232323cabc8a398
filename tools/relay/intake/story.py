"""What the log tells of each device: that it came, crashed, is in safe mode, has emptied its queue.

A device's own words are logged once, when they are accepted, not again with each repetition.
"""

from __future__ import annotations

from typing import Any

from tools.relay import logs
from tools.relay.core import decide, names, wire
from tools.relay.store.acceptance import Outcome
from tools.relay.store.presence import Welcome

log = logs.logger(__name__)
BACKLOG = 2
"""A device with fewer messages waiting has no queue worth a line."""


class Story:
    """Called by the thread that stores, after the commit."""

    def __init__(self) -> None:
        self._draining: dict[str, tuple[int, int, int]] = {}  # epoch, last sequence of the queue, its messages

    def connected(self, device: str, status: wire.Online, held: Welcome) -> None:
        """The device came online."""
        waiting = status.next_sequence - 1 - held.have_sequence
        log.debug("came online", device=device, firmware=status.firmware, waiting=waiting)
        self._draining.pop(device, None)
        if waiting >= BACKLOG:
            self._draining[device] = (status.epoch, status.next_sequence - 1, waiting)
            log.info("sends its queue", device=device, messages=waiting, link=names.link_reason(status.reason))

    def gone(self, device: str) -> None:
        """The device's connection ended."""
        log.debug("went offline", device=device)
        if self._draining.pop(device, None) is not None:
            log.info("went before its queue was empty", device=device)

    def said(self, device: str, message: wire.Up | wire.Unreadable, outcome: Outcome) -> None:
        """The device's message is stored."""
        log.debug("stored", device=device, sequence=message.sequence, verdict=outcome.verdict)
        if outcome.verdict == decide.ACCEPTED and isinstance(message, wire.FaultTransition):
            self._fault(device, message)
        if outcome.verdict == decide.ACCEPTED and isinstance(message, wire.Replacement):
            log.info("a part was replaced", device=device, consumable=message.id, used_s=message.used_s)
        epoch, last, messages = self._draining.get(device, (None, 0, 0))
        if message.epoch == epoch and message.sequence >= last:
            del self._draining[device]
            log.info("its queue is empty", device=device, messages=messages)

    def _fault(self, device: str, message: wire.FaultTransition) -> None:
        found = names.faults(message.faults)
        more: dict[str, Any] = {"device": device, "faults": found, "detail": message.detail}
        if "safe_mode" in found:
            log.error("is in safe mode: only counting and reporting run", **more)
        elif "crashed" in found:
            log.error("crashed, and started again", **more)
        elif found:
            log.warning("tells of a fault", **more)
        else:
            log.info("has no fault any more", device=device)
