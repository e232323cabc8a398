"""What the pages show of a fleet, a device and its parts, as read at one moment. Times in UTC seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Row

from tools.relay.core import wear, wire

State = Literal["online", "silent", "offline"]


@dataclass(frozen=True)
class Summary:
    """The whole fleet in numbers. `queue` has the events that wait for the gateway and the dead letters."""

    devices: int
    online: int
    silent: int
    faulty: int
    faults: dict[str, int]
    due: int
    queue: dict[str, int]
    oldest_queued_s: float
    aside: int
    counts: dict[str, int]
    last_seen_s: int | None


@dataclass
class Change:
    """A replacement: `generation` is the new part, `used_s` what the old one had been used."""

    generation: int
    utc_s: int
    used_s: int
    inferred: bool
    estimated: bool


@dataclass
class Part:
    """A consumable as it is fitted now."""

    id: int
    instance: str
    name: str
    rated_s: int
    generation: int = 1
    used_s: int = 0
    known: bool = False
    gateway_s: int | None = None
    left: wear.Left = wear.Left(None, "too few reports yet")
    rate_s: float | None = None
    points: list[wear.Point] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Used time by rated life; None without a rated life."""
        return self.used_s / self.rated_s if self.rated_s else None


@dataclass
class Unit:
    """A device; `about` is None until it has described itself. `parts` are by id, the product's in its order first."""

    row: Row[Any]
    about: wire.About | None
    faults: list[str]
    parts: dict[int, Part]
    silent: bool
    aside: int = 0
    dead: int = 0
    queued: int = 0

    @property
    def state(self) -> State:
        """Silent goes before all: a connection that stands is no sign of a device that says nothing."""
        return "silent" if self.silent else "online" if self.row.online else "offline"

    @property
    def worst(self) -> Part | None:
        """The part with the least of its rated life left."""
        return max(
            (part for part in self.parts.values() if part.known and part.share),
            key=lambda part: part.share or 0,
            default=None,
        )
