"""What happened in one run, as the picture and the table need it: plain data, made once when the run is over.

Times `*_ms` are milliseconds of the virtual world since the scenario began, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """Something that lasted: a motor run, a time with power, an outage. start_ms <= end_ms."""

    start_ms: int
    end_ms: int
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """Something that happened at one moment. kind: cut, replaced, undone, released, event, fault, ..."""

    at_ms: int
    kind: str
    note: str = ""
    instance: str | None = None


@dataclass(frozen=True)
class Report:
    """One up message: made on the device, and accepted by the relay."""

    sequence: int
    made_ms: int
    accepted_ms: int
    kind: str = "report"
    merged: int = 0


@dataclass(frozen=True)
class Part:
    """A consumable of the product, with the name a person calls it by."""

    id: int
    instance: str
    name: str
    input: str
    rated_life_h: int


@dataclass(frozen=True)
class Use:
    """A corner of a curve of used time: between two corners of one generation it is a straight line."""

    at_ms: int
    generation: int
    used_ms: int


@dataclass(frozen=True)
class Row:
    """The verdict on one fitted part. counted_ms is the device's own, accepted_s what the relay has accepted of it.

    counted_ms is -1 where the ledger could not be read at all.
    """

    instance: str
    generation: int
    true_ms: int
    counted_ms: int
    accepted_s: int | None
    cuts: int

    @property
    def lost_ms(self) -> int:
        return self.true_ms - self.counted_ms

    @property
    def counted_right(self) -> bool:
        """Never more than the truth, never less by over a second a power cut."""
        return self.true_ms - 1000 * self.cuts <= self.counted_ms <= self.true_ms

    @property
    def accepted_all(self) -> bool:
        return self.accepted_s == self.counted_ms // 1000

    @property
    def holds(self) -> bool:
        return self.counted_right and self.accepted_all


@dataclass
class Story:
    """One run, whole.

    `inputs` maps an input's name to when it truly ran; `used` and `known` map an instance to the corners of what was
    truly used, and of what the relay knew of it (a staircase).
    """

    title: str
    start_utc_s: int
    duration_ms: int
    parts: list[Part]
    powered: list[Span] = field(default_factory=list)
    inputs: dict[str, list[Span]] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)
    clock_unknown: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    used: dict[str, list[Use]] = field(default_factory=dict)
    known: dict[str, list[Use]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    messages: int = 0
    payload_bytes_max: int = 0
    scenario: str = ""
    seed: int | None = None

    @property
    def holds(self) -> bool:
        return bool(self.rows) and all(row.holds for row in self.rows)
