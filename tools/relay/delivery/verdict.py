"""What an answer of the gateway means for an event. Pure.

It is sent again unless the answer is one of a few that no repetition changes: Amazon's own, with its error code, since
a proxy on the way may answer with any status. What nothing replaces, an InventoryReplaced or a discovery report, is
given up only where the message itself is at fault: a wrong region or a missing skill is put right by a person.
"""

from __future__ import annotations

from enum import Enum

from tools.relay.core.events import CONSUMED
from tools.relay.delivery.gateway_client import Answer

DISABLED = "SKILL_DISABLED_EXCEPTION"
FAULTY = {(400, "INVALID_REQUEST_EXCEPTION"), (413, "REQUEST_ENTITY_TOO_LARGE_EXCEPTION")}
MISPLACED = {
    (403, "SKILL_NEVER_ENABLED_EXCEPTION"),
    (403, "INSUFFICIENT_PERMISSION_EXCEPTION"),
    (404, "SKILL_NOT_FOUND_EXCEPTION"),
}
MAX_PAUSE_S = 3600.0


class Verdict(Enum):
    """`THROTTLED`: not now; `UNAUTHORISED`: not with this token; `UNWANTED`: the customer has disabled the skill."""

    ACCEPTED = "accepted"
    FINAL = "final"
    UNWANTED = "unwanted"
    UNAUTHORISED = "unauthorised"
    THROTTLED = "throttled"
    MISPLACED = "misplaced"
    AGAIN = "again"


def judge(answer: Answer, name: str) -> Verdict:
    """Return what the answer means for an event of this name."""
    said = (answer.status, answer.code)
    if answer.status == 202:
        return Verdict.ACCEPTED
    if said in FAULTY or (said in MISPLACED and name == CONSUMED):
        return Verdict.FINAL
    if said in MISPLACED:
        return Verdict.MISPLACED
    if said == (403, DISABLED):
        return Verdict.UNWANTED
    return {401: Verdict.UNAUTHORISED, 429: Verdict.THROTTLED}.get(answer.status, Verdict.AGAIN)


def pause_s(attempts: int, first_s: float) -> float:
    """Return how long to wait after so many attempts (from 0): doubling, at most an hour."""
    return min(MAX_PAUSE_S, first_s * 2.0 ** min(attempts, 20))
