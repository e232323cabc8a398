"""What the relay holds of one epoch of a device: `Epoch`, with a `Part` for each consumable, and how both are stored.

The stored form is a JSON list that begins with VERSION. A relay that finds a higher one raises `Newer` and leaves it
alone (a newer relay of a rolling upgrade has written it); what it cannot read otherwise is `Damaged`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

VERSION = 3
MAX_INTERVALS = 64
MAX_PENDING = 32
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Newer(Exception):
    """A newer relay has written this state."""


class Damaged(ValueError):
    """This is no state of an epoch."""


@dataclass(frozen=True)
class Fact:
    """What a message says of one consumable. A replacement's `generation` is the new one, `used_s` the old part's."""

    sequence: int
    generation: int
    lifetime_s: int
    used_s: int
    utc_s: int
    estimated: bool
    replacement: bool


@dataclass
class Part:
    """One consumable in one epoch: the newest accepted numbers, and how far events have been told.

    `born_s`: a count of L seconds at a moment began at least L before it; the latest beginning that any accepted
    message bears out. No count is ever longer than the time since then. `told_fitted_s`: the lifetime at which the part
    that was told of last was fitted, as the told totals bear it out; none of its totals can claim more than since then.
    """

    born_s: int
    seen_sequence: int = 0
    generation: int = 0
    lifetime_s: int = 0
    used_s: int = 0
    told_sequence: int = 0
    told_generation: int = 0
    told_used_s: int | None = None
    told_fitted_s: int = 0
    pending: list[Fact] = field(default_factory=list)

    @property
    def fitted_s(self) -> int:
        """The lifetime at which the newest known part was fitted, or a second later, which rounding hides."""
        return self.lifetime_s - self.used_s

    def copy(self) -> Part:
        new = Part(self.born_s)
        vars(new).update(vars(self), pending=list(self.pending))
        return new

    def wait(self, fact: Fact) -> None:
        """Put the fact among those to be told in their turn. Of too many, reports that a later one covers go."""
        self.pending.append(fact)
        self.pending.sort(key=lambda waiting: waiting.sequence)
        if len(self.pending) > MAX_PENDING:
            for at in range(len(self.pending) - 1):
                earlier, later = self.pending[at : at + 2]
                if not earlier.replacement and not later.replacement and earlier.generation == later.generation:
                    del self.pending[at]
                    return
            del self.pending[0]


@dataclass
class Doubt:
    """A refused report: when it came, and (consumable, generation, lifetime in seconds) of what it said."""

    since_s: int
    said: list[tuple[int, int, int]]


@dataclass
class Epoch:
    """`ahead` lists (first, last, since): runs held after a gap, and when that gap was noticed.

    `heard_s` is when `highest` last rose, `born_s` a moment before which the epoch did not begin. `doubts` are the
    refused reports that the device may yet insist on.
    """

    contiguous: int = 0
    ahead: list[tuple[int, int, int]] = field(default_factory=list)
    heard_s: int = 0
    parts: dict[int, Part] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    born_s: int = 0

    @property
    def highest(self) -> int:
        """The highest sequence that is held."""
        return self.ahead[-1][1] if self.ahead else self.contiguous

    @property
    def gap_since_s(self) -> int | None:
        """When the oldest gap was noticed, None without a gap."""
        return self.ahead[0][2] if self.ahead else None

    def copy(self) -> Epoch:
        parts = {id: part.copy() for id, part in self.parts.items()}
        return Epoch(self.contiguous, list(self.ahead), self.heard_s, parts, list(self.doubts), self.born_s)

    def missing(self, after: int, before: int) -> int:
        """Return how many sequences strictly between the two are not held and may still come."""
        low = max(after, self.contiguous) + 1
        held = sum(max(0, min(last, before - 1) - max(first, low) + 1) for first, last, _ in self.ahead)
        return max(0, before - low - held)

    def hold(self, first: int, last: int, now_s: int) -> None:
        """Sequences `first` to `last` are stored."""
        if last > self.highest:
            self.heard_s = now_s
        if not self.ahead and self.contiguous + 1 >= first:
            self.contiguous = max(self.contiguous, last)
            return
        later = [run for run in self.ahead if run[0] > last]
        self.ahead.append((first, last, later[0][2] if later else now_s))
        self.ahead.sort()
        self._close()

    def give_up_gaps(self, now_s: int, gap_wait_s: int) -> None:
        """Expect nothing more from gaps older than `gap_wait_s`, nor from the oldest when they are too many."""
        while self.ahead and (now_s - self.ahead[0][2] >= gap_wait_s or len(self.ahead) > MAX_INTERVALS):
            self.contiguous = max(self.contiguous, self.ahead.pop(0)[1])
            self._close()

    def _close(self) -> None:
        while self.ahead and self.ahead[0][0] <= self.contiguous + 1:
            self.contiguous = max(self.contiguous, self.ahead.pop(0)[1])


def dump(epoch: Epoch) -> str:
    """Return the stored form."""
    parts = [
        [id, part.born_s, part.seen_sequence, part.generation, part.lifetime_s, part.used_s, part.told_sequence,
         part.told_generation, part.told_used_s, part.told_fitted_s,
         [list(vars(fact).values()) for fact in part.pending]]
        for id, part in epoch.parts.items()
    ]  # fmt: skip
    doubts = [[doubt.since_s, doubt.said] for doubt in epoch.doubts]
    fields = [VERSION, epoch.contiguous, epoch.ahead, epoch.heard_s, parts, doubts, epoch.born_s]
    return _encode(fields)


def load(text: str) -> Epoch:
    """Return what `dump` was given. Raises Newer, Damaged."""
    fields = _fields(text)
    try:
        _, contiguous, ahead, heard_s, parts, doubts, born_s = fields
        _require_numbers(contiguous, heard_s, born_s, *(number for run in ahead for number in run))
        return Epoch(
            contiguous,
            [(first, last, since) for first, last, since in ahead],
            heard_s,
            {id: _part(rest) for id, *rest in parts},
            [Doubt(since_s, [(id, generation, total) for id, generation, total in said]) for since_s, said in doubts],
            born_s,
        )
    except (TypeError, ValueError, LookupError) as error:
        raise Damaged(f"stored state cannot be read: {error}") from error


def _require_numbers(*values: Any) -> None:
    if not set(map(type, values)) <= {int, type(None)}:
        raise TypeError("a number is something else")


def _part(fields: list[Any]) -> Part:
    _require_numbers(*fields[:-1])
    part = Part(*fields[:-1])
    part.pending = [Fact(*fact) for fact in fields[-1]]
    return part


def _fields(text: str) -> list[Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise Damaged(f"stored state is no JSON: {error}") from error
    if not isinstance(fields, list) or not fields or type(fields[0]) is not int or fields[0] < VERSION:
        raise Damaged("stored state is none of this relay's")
    if fields[0] > VERSION:
        raise Newer(f"stored state is of version {fields[0]}, this relay writes {VERSION}")
    return fields
