"""The messages between device and relay, as firmware/wire.cddl describes them: strict in what it reads.

Times are UTC seconds since 1970-01-01. Decoders raise `Refused` for what cannot be a message of this version. An up
message whose epoch and sequence can be read but not the rest comes back as `Unreadable`: it can be stored and
acknowledged, so that the device's queue goes on behind it. Host_tests/vectors/wire.json holds golden vectors.
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass
from typing import Any

import cbor2

VERSION = 2
REPORT, REPLACEMENT, FAULT, ANSWER = 1, 2, 3, 4
ACK, WELCOME, COMMAND = 1, 2, 3
REPLACED, UNDO, REPORT_NOW = 1, 2, 3
RESULTS = ("done", "already done", "refused", "not now")

MAX_UP_BYTES = 1024
MAX_STATUS_BYTES = 1024
MAX_ABOUT_BYTES = 16384
MAX_ID = (1 << 30) - 1
MAX_UINT = (1 << 32) - 1
MAX_GENERATION = 65535
MAX_CONSUMABLES = 8
MAX_CONSUMABLE_ID = 255

DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LOCALE = re.compile(r"[a-z]{2}-[A-Z]{2}")


class Refused(ValueError):
    """A payload that is no message of this version. `reason` is one of a few fixed words, for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Time:
    """A moment between two bounds, either of which may be unknown (None). Equal bounds: it is known exactly."""

    not_before: int | None
    not_after: int | None

    @property
    def exact(self) -> bool:
        return self.not_before is not None and self.not_before == self.not_after


@dataclass(frozen=True)
class Total:
    """The consumable `id` in a report: its seconds in all, the number of the fitted part, the seconds that was used."""

    id: int
    lifetime_s: int
    generation: int
    used_s: int


@dataclass(frozen=True)
class _Up:
    epoch: int
    sequence: int
    time: Time
    faults: int


@dataclass(frozen=True)
class Report(_Up):
    totals: tuple[Total, ...]
    merged: int = 0


@dataclass(frozen=True)
class Replacement(_Up):
    """`generation` is the new one (from 2); `lifetime_s` and `used_s` are those of the moment of replacement."""

    id: int
    generation: int
    lifetime_s: int
    used_s: int
    source: int


@dataclass(frozen=True)
class FaultTransition(_Up):
    detail: str = ""


@dataclass(frozen=True)
class Answer(_Up):
    number: int
    result: int


@dataclass(frozen=True)
class Unreadable:
    """Only the address of an up message could be read."""

    epoch: int
    sequence: int
    reason: str


Up = Report | Replacement | FaultTransition | Answer

KIND = {Report: REPORT, Replacement: REPLACEMENT, FaultTransition: FAULT, Answer: ANSWER, Unreadable: 0}


@dataclass(frozen=True)
class Online:
    nonce: int
    epoch: int
    faults: int
    reason: int
    uptime_s: int
    clock_known: bool
    firmware: str
    next_sequence: int
    link_losses: int


@dataclass(frozen=True)
class Offline:
    nonce: int


@dataclass(frozen=True)
class Consumable:
    id: int
    instance: str
    input: str
    rated_life_h: int
    replenishment_id: str | None
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class About:
    model: str
    manufacturer: str
    description: str
    serial: str
    firmware: str
    consumables: tuple[Consumable, ...]


def decode_up(payload: bytes) -> Up | Unreadable:
    """Return the message of an `up` payload (at most 1 KiB), or `Unreadable`. Raises Refused."""
    fields = _array(payload, MAX_UP_BYTES)
    if len(fields) < 4 or not _is_uint(fields[1]):
        raise Refused("malformed", "no type, epoch or sequence")
    epoch = _uint(fields, 2, 1, MAX_ID, "epoch")
    sequence = _uint(fields, 3, 1, MAX_UINT, "sequence")
    try:
        return _up_body(fields[1], fields, epoch, sequence, payload)
    except Refused as error:
        return Unreadable(epoch, sequence, str(error))


def _up_body(kind: int, fields: list[Any], epoch: int, sequence: int, payload: bytes) -> Up:
    if kind not in (REPORT, REPLACEMENT, FAULT, ANSWER):
        raise Refused("malformed", f"unknown type {kind}")
    time = _time(_field(fields, 4, "time"))
    faults = _uint(fields, 5, 0, MAX_UINT, "faults")
    if kind == REPORT:
        totals = _totals(_field(fields, 6, "totals"))
        merged = _uint(fields, 7, 0, sequence - 1, "merged") if len(fields) > 7 else 0
        known, message = 8, Report(epoch, sequence, time, faults, totals, merged)
    elif kind == REPLACEMENT:
        known, message = 11, Replacement(  # type: ignore[assignment]
            epoch, sequence, time, faults,
            id=_uint(fields, 6, 1, MAX_CONSUMABLE_ID, "id"),
            generation=_uint(fields, 7, 2, MAX_GENERATION, "generation"),
            lifetime_s=_uint(fields, 8, 0, MAX_UINT, "lifetime"),
            used_s=_uint(fields, 9, 0, MAX_UINT, "used"),
            source=_uint(fields, 10, 0, MAX_UINT, "source"),
        )  # fmt: skip
    elif kind == FAULT:
        detail = _text(fields, 6, 0, 256, "detail") if len(fields) > 6 else ""
        known, message = 7, FaultTransition(epoch, sequence, time, faults, detail)  # type: ignore[assignment]
    else:
        number = _uint(fields, 6, 1, MAX_UINT, "command number")
        known, message = 8, Answer(epoch, sequence, time, faults, number, _uint(fields, 7, 0, 3, "result"))  # type: ignore[assignment]
    _require_deterministic(fields, known, payload)
    return message


def _totals(flat: Any) -> tuple[Total, ...]:
    if not isinstance(flat, list) or len(flat) % 4 or not 1 <= len(flat) // 4 <= MAX_CONSUMABLES:
        raise Refused("malformed", "totals are not 1 to 8 quads")
    totals = tuple(
        Total(
            _uint(flat, at, 1, MAX_CONSUMABLE_ID, "id"),
            _uint(flat, at + 1, 0, MAX_UINT, "lifetime"),
            _uint(flat, at + 2, 1, MAX_GENERATION, "generation"),
            _uint(flat, at + 3, 0, MAX_UINT, "used"),
        )
        for at in range(0, len(flat), 4)
    )
    if any(later.id <= earlier.id for earlier, later in itertools.pairwise(totals)):
        raise Refused("malformed", "totals are not in ascending order of id")
    return totals


def decode_status(payload: bytes) -> Online | Offline:
    """Return what a retained `status` says. Raises Refused."""
    fields = _array(payload, MAX_STATUS_BYTES)
    state = _uint(fields, 1, 0, 1, "state")
    nonce = _uint(fields, 2, 1, MAX_ID, "nonce")
    if state == 0:
        return Offline(nonce)
    return Online(
        nonce,
        epoch=_uint(fields, 3, 1, MAX_ID, "epoch"),
        faults=_uint(fields, 4, 0, MAX_UINT, "faults"),
        reason=_uint(fields, 5, 0, MAX_UINT, "reason"),
        uptime_s=_uint(fields, 6, 0, MAX_UINT, "uptime"),
        clock_known=bool(_uint(fields, 7, 0, 1, "clock known")),
        firmware=_text(fields, 8, 0, 64, "firmware"),
        next_sequence=_uint(fields, 9, 1, MAX_UINT, "next sequence"),
        link_losses=_uint(fields, 10, 0, MAX_UINT, "link losses"),
    )


def decode_about(payload: bytes) -> About:
    """Return the device's description of itself; lengths are those Alexa accepts. Raises Refused."""
    fields = _array(payload, MAX_ABOUT_BYTES)
    rows = _field(fields, 6, "consumables")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_CONSUMABLES:
        raise Refused("malformed", "not 1 to 8 consumables")
    consumables = tuple(_consumable(row) for row in rows)
    if len({consumable.instance for consumable in consumables}) != len(consumables):
        raise Refused("malformed", "two consumables with one instance")
    if len({consumable.id for consumable in consumables}) != len(consumables):
        raise Refused("malformed", "two consumables with one id")
    return About(
        model=_text(fields, 1, 1, 256, "model"),
        manufacturer=_text(fields, 2, 1, 128, "manufacturer"),
        description=_text(fields, 3, 1, 128, "description"),
        serial=_text(fields, 4, 0, 256, "serial"),
        firmware=_text(fields, 5, 0, 256, "firmware"),
        consumables=consumables,
    )


def _consumable(row: Any) -> Consumable:
    if not isinstance(row, list):
        raise Refused("malformed", "a consumable is not an array")
    names = _field(row, 5, "names")
    if not isinstance(names, list) or not names:
        raise Refused("malformed", "a consumable without a name")
    pairs = []
    for pair in names:
        if not isinstance(pair, list) or len(pair) < 2:
            raise Refused("malformed", "a name is not a pair")
        locale = _text(pair, 0, 5, 5, "locale")
        if not _LOCALE.fullmatch(locale):
            raise Refused("malformed", "a locale is not like en-US")
        pairs.append((locale, _text(pair, 1, 1, 128, "name")))
    return Consumable(
        id=_uint(row, 0, 1, MAX_CONSUMABLE_ID, "id"),
        instance=_text(row, 1, 1, 64, "instance"),
        input=_text(row, 2, 1, 64, "input"),
        rated_life_h=_uint(row, 3, 0, MAX_UINT, "rated life"),
        replenishment_id=None
        if _field(row, 4, "replenishment id") is None
        else _text(row, 4, 1, 256, "replenishment id"),
        names=tuple(pairs),
    )


def encode_ack(nonce: int, utc_s: int, epoch: int, sequence: int) -> bytes:
    """Return: this (epoch, sequence) is durably stored."""
    return encode([VERSION, ACK, nonce, utc_s, epoch, sequence])


def encode_welcome(nonce: int, utc_s: int, epoch: int, have_sequence: int, about_crc32: int | None) -> bytes:
    """Return the answer to a status: the relay's time, and what it holds of that epoch and of the about message."""
    return encode([VERSION, WELCOME, nonce, utc_s, epoch, have_sequence, about_crc32])


def encode_command(nonce: int, utc_s: int, number: int, operation: int, arguments: list[int]) -> bytes:
    """Return a command; `arguments` are those of the operation."""
    return encode([VERSION, COMMAND, nonce, utc_s, number, operation, *arguments])


def encode(fields: Any) -> bytes:
    """Return the deterministic encoding (RFC 8949 section 4.2) of arrays, whole numbers, text and null."""
    return cbor2.dumps(fields, canonical=True)


def _array(payload: bytes, limit: int) -> list[Any]:
    if len(payload) > limit:
        raise Refused("oversized", f"{len(payload)} bytes")
    source = io.BytesIO(payload)
    try:
        fields = cbor2.CBORDecoder(source).decode()
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError, TypeError) as error:
        raise Refused("malformed", str(error)) from error
    if source.tell() != len(payload):
        raise Refused("malformed", "bytes after the message")
    if not isinstance(fields, list) or not fields or not _is_uint(fields[0]):
        raise Refused("malformed", "not an array with a version")
    if fields[0] != VERSION:
        raise Refused("unknown version", str(fields[0]))
    return fields


def _require_deterministic(fields: list[Any], known: int, payload: bytes) -> None:
    """Two encodings of one message would be two messages; trailing fields that are not ours may be anything."""
    if len(fields) <= known and encode(fields) != payload:
        raise Refused("malformed", "not the deterministic encoding")


def _field(fields: list[Any], at: int, name: str) -> Any:
    if at >= len(fields):
        raise Refused("malformed", f"{name} is missing")
    return fields[at]


def _is_uint(value: Any) -> bool:
    return type(value) is int and value >= 0


def _uint(fields: list[Any], at: int, low: int, high: int, name: str) -> int:
    value = _field(fields, at, name)
    if not _is_uint(value) or not low <= value <= high:
        raise Refused("malformed", f"{name} is not a whole number from {low} to {high}")
    return value


def _text(fields: list[Any], at: int, shortest: int, longest: int, name: str) -> str:
    value = _field(fields, at, name)
    if not isinstance(value, str) or not shortest <= len(value) <= longest or not value.isprintable():
        raise Refused("malformed", f"{name} is not a text of {shortest} to {longest} characters")
    return value


def _time(value: Any) -> Time:
    if _is_uint(value) and value <= MAX_UINT:
        return Time(value, value)
    if isinstance(value, list) and len(value) == 2:
        not_before, not_after = (None if value[at] is None else _uint(value, at, 0, MAX_UINT, "time") for at in (0, 1))
        if not_before is None or not_after is None or not_before <= not_after:
            return Time(not_before, not_after)
    raise Refused("malformed", "time is neither a moment nor bounds in order")
