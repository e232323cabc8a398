"""What becomes of each event, in the log at debug: queued, sent, sent again, accepted, refused, waits, void, dead.

Each line has the device, the event's name and id and the part it speaks of; never a token or a customer.
"""

from __future__ import annotations

import logging
from typing import Any

from tools.relay import logs

log = logs.logger(__name__)
_level = logging.getLogger(__name__)


def tell(fate: str, device: str, name: str, message_id: str, part: int | None, **more: Any) -> None:
    """Log it. Where nobody reads at debug it costs nothing."""
    if _level.isEnabledFor(logging.DEBUG):
        log.debug(f"event {fate}", device=device, name=name, message_id=message_id, part=part, **more)


def tell_row(fate: str, row: Any, **more: Any) -> None:
    """The same of a row of the queue."""
    tell(fate, row.device, row.name, row.message_id, row.consumable, **more)
