"""Both codecs and the golden vectors are held against firmware/wire.cddl: both encoders, and the decoder of the relay.

The CDDL does not say everything: that ids ascend, bounds are in order and text is printable is said beside it, and the
relay's decoder refuses more than the CDDL does.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cddl_verifier import Validator
from hypothesis import given
from hypothesis import strategies as st

from tools.provision import pack
from tools.relay.core import wire as relay
from wearmeter.exchange import cbor
from wearmeter.exchange import wire as device

HERE = Path(__file__).parent
CDDL = (HERE.parent / "firmware" / "wire.cddl").read_text(encoding="utf-8")
VECTORS = json.loads((HERE / "vectors" / "wire.json").read_text(encoding="utf-8"))
GOOD = [(group, vector) for group in ("up", "down", "status", "about") for vector in VECTORS[group]]

u32 = st.integers(0, (1 << 32) - 1)
epochs = nonces = st.integers(1, (1 << 30) - 1)
sequences = numbers = st.integers(1, (1 << 32) - 1)
ids = st.integers(1, 255)
generations = st.integers(1, 65535)
texts = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)


@cache
def judge(rule: str) -> Validator:
    return Validator(f"start = {rule}\n{CDDL}")


def faults_of(rule: str, payload: bytes) -> str:
    """What the CDDL has against the payload as one of `rule`; "" where it is one."""
    result = judge(rule).validate(payload)
    return "" if result.valid else result.format()


def moments() -> st.SearchStrategy[tuple[int, int]]:
    """(not before, not after), 0 where unknown, as a queue entry has them."""
    bounds = st.tuples(u32, u32).map(sorted)
    return bounds.flatmap(lambda pair: st.sampled_from([(pair[0], pair[0]), (pair[0], pair[1]), (pair[0], 0), (0, 0)]))


@st.composite
def totals(draw: Any) -> list[int]:
    flat: list[int] = []
    for part in sorted(draw(st.sets(ids, min_size=1, max_size=8))):
        flat += [part, draw(u32), draw(generations), draw(u32)]
    return flat


@st.composite
def ups(draw: Any) -> bytes:
    """An up message as the device's encoder writes it."""
    sequence = draw(sequences)
    merged = 0
    kind = draw(st.sampled_from([device.REPORT, device.REPLACEMENT, device.FAULT, device.ANSWER]))
    if kind == device.REPORT:
        tail: list[Any] = [draw(totals())]
        merged = draw(st.integers(0, min(sequence - 1, 65535)))
    elif kind == device.REPLACEMENT:
        tail = [draw(ids), draw(st.integers(2, 65535)), draw(u32), draw(u32), draw(u32)]
    elif kind == device.FAULT:
        tail = draw(st.lists(texts, max_size=1))
    else:
        tail = [draw(numbers), draw(st.integers(0, 3))]
    not_before, not_after = draw(moments())
    entry = SimpleNamespace(
        kind=kind, epoch=draw(epochs), sequence=sequence, not_before=not_before, not_after=not_after,
        faults=draw(st.integers(0, 65535)), tail=b"".join(map(cbor.encode, tail)), merged=merged,
    )  # fmt: skip
    return bytes(device.up(entry))


@st.composite
def abouts(draw: Any) -> bytes:
    """The about of a device whose product the host has packed."""
    parts = [
        {
            "id": part,
            "instance": f"Sensor.{part}",
            "input": "motor",
            "rated_life_h": draw(st.integers(1, 100000)),
            "replenishment_id": draw(st.none() | texts),
            "names": {"en-US": draw(texts), "de-DE": draw(texts)},
        }
        for part in sorted(draw(st.sets(ids, min_size=1, max_size=8)))
    ]
    product = pack.read_product(
        {
            "schema": 2,
            "model": draw(texts),
            "manufacturer": draw(texts),
            "description": draw(texts),
            "led": {"signal": "led"},
            "inputs": [{"name": "motor", "driver": "level", "signal": "motor"}],
            "consumables": parts,
        },
        "product",
    )
    _, head, tail, *_ = cbor.decode(pack.pack_product(product))
    return bytes(device.about(SimpleNamespace(about_head=head, about_parts=tail), draw(texts), draw(texts)))


@pytest.mark.parametrize(("group", "vector"), GOOD, ids=[vector["name"] for _, vector in GOOD])
def test_every_golden_vector_is_a_message_of_the_cddl(group: str, vector: dict[str, Any]) -> None:
    assert faults_of(group, bytes.fromhex(vector["hex"])) == ""


@pytest.mark.parametrize(("group", "vector"), GOOD, ids=[vector["name"] for _, vector in GOOD])
def test_a_golden_vector_of_another_version_or_with_a_text_for_a_number_is_none(
    group: str, vector: dict[str, Any]
) -> None:
    fields = vector["message"]
    assert faults_of(group, relay.encode([1, *fields[1:]]))
    if group != "about":
        assert faults_of(group, relay.encode([*fields[:2], "x", *fields[3:]]))


@pytest.mark.parametrize("flat", [[], [1, 5, 1], [0, 5, 1, 5], [256, 5, 1, 5], [1, 5, 0, 5], [1, 5, 1, 5] * 9], ids=str)
def test_totals_that_are_not_one_to_eight_quads_are_none(flat: list[int]) -> None:
    assert faults_of("report", relay.encode([2, 1, 7, 9, 1782900000, 0, flat]))


@given(ups())
def test_what_the_device_says_is_of_the_cddl_and_the_relay_reads_it(payload: bytes) -> None:
    assert faults_of("up", payload) == ""
    assert not isinstance(relay.decode_up(payload), relay.Unreadable)


@given(nonces, st.tuples(epochs, u32, st.integers(0, 20), u32, st.booleans(), texts, sequences, u32))
def test_the_status_of_a_device_is_of_the_cddl_and_the_relay_reads_it(nonce: int, fields: tuple[Any, ...]) -> None:
    online = device.status(nonce, *fields)
    assert faults_of("status", online) == "" and isinstance(relay.decode_status(online), relay.Online)
    will = device.last_will(nonce)
    assert faults_of("status", will) == "" and relay.decode_status(will) == relay.Offline(nonce)


@given(abouts())
def test_the_about_of_a_device_is_of_the_cddl_and_the_relay_reads_it(payload: bytes) -> None:
    assert faults_of("about", payload) == ""
    relay.decode_about(payload)


@given(nonces, u32, epochs, sequences, u32, st.none() | u32, numbers, ids, generations)
def test_what_the_relay_says_is_of_the_cddl_and_the_device_reads_it(
    nonce: int, utc_s: int, epoch: int, sequence: int, have: int, crc: int | None, number: int, part: int, fitted: int
) -> None:
    for rule, payload in (
        ("acknowledgment", relay.encode_ack(nonce, utc_s, epoch, sequence)),
        ("welcome", relay.encode_welcome(nonce, utc_s, epoch, have, crc)),
        ("command", relay.encode_command(nonce, utc_s, number, relay.REPLACED, [part, fitted])),
        ("command", relay.encode_command(nonce, utc_s, number, relay.UNDO, [part, fitted])),
        ("command", relay.encode_command(nonce, utc_s, number, relay.REPORT_NOW, [])),
    ):
        assert faults_of(rule, payload) == ""
        device.parse_down(payload)


junk = (
    st.none() | st.booleans() | st.integers(-3, 1 << 33) | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=9)
)


@given(st.sampled_from([vector["message"] for vector in VECTORS["up"]]), st.integers(0, 11), junk)
def test_the_relay_reads_nothing_that_the_cddl_does_not_know(message: list[Any], at: int, instead: Any) -> None:
    changed = relay.encode([instead if place == at else field for place, field in enumerate(message)])
    try:
        read = not isinstance(relay.decode_up(changed), relay.Unreadable)
    except relay.Refused:
        read = False
    assert not read or faults_of("up", changed) == ""
