"""The relay reads and writes the wire exactly as the device does, and survives whatever else arrives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.relay.core import wire

VECTORS = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text(encoding="utf-8"))


def _named(kind: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=[vector["name"] for vector in VECTORS[kind]])


@_named("up")
def test_every_up_vector_is_read(vector: dict[str, Any]) -> None:
    message = wire.decode_up(bytes.fromhex(vector["hex"]))
    assert not isinstance(message, wire.Unreadable)
    fields = vector["message"]
    assert (wire.KIND[type(message)], message.epoch, message.sequence, message.faults) == (*fields[1:4], fields[5])
    time = fields[4] if isinstance(fields[4], list) else [fields[4], fields[4]]
    assert [message.time.not_before, message.time.not_after] == time
    if isinstance(message, wire.Report):
        flat = [
            number
            for total in message.totals
            for number in (total.id, total.lifetime_s, total.generation, total.used_s)
        ]
        assert flat == fields[6]
        assert message.merged == (fields[7] if len(fields) > 7 else 0)
    elif isinstance(message, wire.Replacement):
        assert [message.id, message.generation, message.lifetime_s, message.used_s, message.source] == fields[6:11]
    elif isinstance(message, wire.Answer):
        assert [message.number, message.result] == fields[6:8]
    else:
        assert message.detail == (fields[6] if len(fields) > 6 else "")


@_named("down")
def test_every_down_vector_is_written_byte_for_byte(vector: dict[str, Any]) -> None:
    fields = vector["message"]
    encoder: Any = {wire.ACK: wire.encode_ack, wire.WELCOME: wire.encode_welcome, wire.COMMAND: None}[fields[1]]
    if vector["name"].endswith("field from the future"):
        written = wire.encode(fields)
    elif encoder is None:
        written = wire.encode_command(fields[2], fields[3], fields[4], fields[5], fields[6:])
    else:
        written = encoder(*fields[2:])
    assert written.hex() == vector["hex"]


@_named("status")
def test_every_status_vector_is_read(vector: dict[str, Any]) -> None:
    status = wire.decode_status(bytes.fromhex(vector["hex"]))
    fields = vector["message"]
    assert status.nonce == fields[2]
    assert isinstance(status, wire.Online) == (fields[1] == 1)
    if isinstance(status, wire.Online):
        assert [status.epoch, status.faults, status.reason, status.uptime_s] == fields[3:7]
        assert [status.clock_known, status.firmware, status.next_sequence, status.link_losses] == fields[7:11]


@_named("about")
def test_every_about_vector_is_read(vector: dict[str, Any]) -> None:
    about = wire.decode_about(bytes.fromhex(vector["hex"]))
    fields = vector["message"]
    assert [about.model, about.manufacturer, about.description, about.serial, about.firmware] == fields[1:6]
    assert [[part.id, part.instance] for part in about.consumables] == [row[:2] for row in fields[6]]
    assert [dict(consumable.names) for consumable in about.consumables] == [dict(row[5]) for row in fields[6]]


REPORT = [2, 1, 7, 9, 1782900000, 0, [1, 5400, 1, 5400]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([1, 1, 7, 9, 1782900000, 0, [1, 1, 1]], "unknown version"),
        ([2, 1, 7], "malformed"),
        ([2, 1, 0, 9], "malformed"),
        ([2, 1, 7, 0], "malformed"),
        ([2, 1, "7", 9], "malformed"),
        ([True, 1, 7, 9], "malformed"),
        ({"version": 1}, "malformed"),
        ([], "malformed"),
        ([2, 1, 7, 9, 0, 0, "x" * 1100], "oversized"),
    ],
)
def test_a_payload_without_version_epoch_and_sequence_is_refused_with_a_counted_reason(
    fields: Any, reason: str
) -> None:
    with pytest.raises(wire.Refused) as refusal:
        wire.decode_up(wire.encode(fields))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "change",
    [
        {1: 9}, {4: -1}, {4: [5, 4]}, {4: [1]}, {4: None}, {5: -1}, {5: True}, {6: []}, {6: [1, 1, 1]},
        {6: [1, 1, 0, 1]}, {6: [0, 1, 1, 1]}, {6: [256, 1, 1, 1]}, {6: [1, 1, 1, 1.5]}, {6: None},
        {6: [number for at in range(1, 10) for number in (at, 1, 1, 1)]},
        {6: [1, 1, 1, 1, 1, 1, 1, 1]}, {6: [2, 1, 1, 1, 1, 1, 1, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_message_whose_address_can_be_read_but_not_the_rest_comes_back_as_unreadable(change: dict[int, Any]) -> None:
    fields = [change.get(at, field) for at, field in enumerate(REPORT)]
    message = wire.decode_up(wire.encode(fields))
    assert isinstance(message, wire.Unreadable)
    assert (message.epoch, message.sequence) == (7, 9)


def test_a_message_in_a_longer_encoding_than_needed_is_not_taken_for_the_same_message() -> None:
    longer = wire.encode(REPORT).replace(b"\x07", b"\x18\x07", 1)
    assert isinstance(wire.decode_up(longer), wire.Unreadable)


def test_bytes_behind_the_message_are_refused() -> None:
    with pytest.raises(wire.Refused):
        wire.decode_up(wire.encode(REPORT) + b"\x00")


def test_fields_from_the_future_are_ignored() -> None:
    assert wire.decode_up(wire.encode([*REPORT, 0, "new", {"b": 1, "a": 1.5}])) == wire.decode_up(wire.encode(REPORT))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    for decode in (wire.decode_up, wire.decode_status, wire.decode_about):
        try:
            decode(payload)
        except wire.Refused:
            pass


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), 1 << 64)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=12), st.integers(1, 4))
def test_any_array_is_read_or_refused(fields: list[Any], kind: int) -> None:
    for payload in (wire.encode([2, kind, 7, 9, *fields]), wire.encode([2, 1, *fields])):
        for decode in (wire.decode_up, wire.decode_status, wire.decode_about):
            try:
                decode(payload)
            except wire.Refused:
                pass
