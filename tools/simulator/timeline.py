"""From a scenario and a seed to what truly happens: when there is power, when each motor runs, every event.

The same scenario and seed give the same timeline, to the millisecond. Times are milliseconds since the start.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tools.setup import boards
from tools.simulator.scenario import DAY, SECOND, Clean, Input, Scenario, ScenarioError

ADC_MAX = 65535

Interval = tuple[int, int]


@dataclass(frozen=True)
class Session:
    """One time with power. The events are those of the board's session file, in milliseconds since power-on."""

    number: int
    on_ms: int
    off_ms: int
    events: list[list[Any]]


@dataclass(frozen=True)
class TruePress:
    """A button held down, as the hand did it; powered: the unit had power all the while."""

    button: str
    down_ms: int
    up_ms: int
    powered: bool


@dataclass(frozen=True)
class Timeline:
    scenario: Scenario
    seed: int
    sessions: list[Session]
    running: dict[str, list[Interval]]  # input -> when its motor truly ran
    presses: list[TruePress] = field(default_factory=list)
    wifi_outages: list[tuple[int, int, str]] = field(default_factory=list)
    broker_outages: list[tuple[int, int, str]] = field(default_factory=list)
    clock_unknown: list[Interval] = field(default_factory=list)
    rest: dict[int, int] = field(default_factory=dict)  # gpio -> reading while nothing happens

    @property
    def power_cuts(self) -> int:
        return len(self.sessions)

    def true_ms(self, name: str, start_ms: int = 0, end_ms: int | None = None) -> int:
        """How long the input's motor truly ran between two moments."""
        end = self.scenario.duration_ms if end_ms is None else end_ms
        return sum(max(0, min(b, end) - max(a, start_ms)) for a, b in self.running[name])

    def powered_ms(self, start_ms: int, end_ms: int) -> int:
        return sum(max(0, min(s.off_ms, end_ms) - max(s.on_ms, start_ms)) for s in self.sessions)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def without(intervals: list[Interval], holes: Iterable[Interval]) -> list[Interval]:
    left = intervals
    for hole_start, hole_end in holes:
        pieces = []
        for start, end in left:
            pieces += [(start, min(end, hole_start)), (max(start, hole_end), end)]
        left = [(start, end) for start, end in pieces if start < end]
    return left


def both(first: list[Interval], second: list[Interval]) -> list[Interval]:
    pieces = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return [(start, end) for start, end in pieces if start < end]


@dataclass
class _Plan:
    """What the household wants; power decides what of it comes true."""

    plugged: list[Interval] = field(default_factory=list)
    cuts: list[Interval] = field(default_factory=list)
    motors: dict[str, list[Interval]] = field(default_factory=dict)


def _cleans(scenario: Scenario, seed: int, plan: _Plan) -> None:
    midnight = scenario.start_utc_ms // DAY * DAY - scenario.start_utc_ms
    for number, clean in enumerate(scenario.cleans):
        for day in clean.days:
            dice = random.Random(f"{seed} clean {number} {day}")
            start = midnight + (day - 1) * DAY + clean.at_ms + dice.randint(-clean.vary_ms, clean.vary_ms)
            longer = max(dice.randint(-clean.vary_ms, clean.vary_ms), SECOND - clean.duration_ms)
            _one_clean(clean, start, clean.duration_ms + longer, plan)
    home = scenario.household
    if home:
        dice = random.Random(f"{seed} household")
        for day in range(scenario.days):
            count = int(home.cleans_a_day) + (dice.random() < home.cleans_a_day % 1)
            for _ in range(count):
                start = midnight + day * DAY + dice.randint(*home.between_ms)
                length = dice.randint(*home.duration_ms)
                cut = dice.random() < home.cut_probability
                inputs = {}
                for name, chance in home.inputs.items():
                    if dice.random() < chance:
                        inputs[name] = (0, 0)
                clean = Clean(
                    at_ms=0,
                    days=(),
                    duration_ms=length,
                    inputs=inputs,
                    ended_by="cut" if cut else "switch",
                    power_before_ms=home.power_before_ms,
                    power_after_ms=home.power_after_ms,
                    off_for_ms=home.off_for_ms,
                    vary_ms=0,
                )
                _one_clean(clean, start, length, plan)


def _one_clean(clean: Clean, start: int, length: int, plan: _Plan) -> None:
    end = start + length
    for name, (offset, part) in clean.inputs.items():
        stop = min(start + offset + part, end) if part else end
        plan.motors.setdefault(name, []).append((start + offset, stop))
    if clean.ended_by == "cut":
        plan.plugged.append((start - clean.power_before_ms, end))
        plan.cuts.append((end, end + clean.off_for_ms))
    else:
        plan.plugged.append((start - clean.power_before_ms, end + clean.power_after_ms))


def _recordings(scenario: Scenario, plan: _Plan) -> dict[str, list[tuple[int, int]]]:
    """Maps each signal to its readings [(moment, raw)]; adds the true running of its inputs to the plan."""
    readings: dict[str, list[tuple[int, int]]] = {}
    for recording in scenario.recordings:
        names = [entry.name for entry in scenario.product.inputs.values() if entry.signal == recording.signal]
        points = readings.setdefault(recording.signal, [])
        last = None
        for second, amperes in enumerate(recording.amperes):
            at = recording.at_ms + second * SECOND
            raw = min(ADC_MAX, round(amperes / recording.amps_full_scale * ADC_MAX))
            if raw != last:
                points.append((at, raw))
                last = raw
            if amperes > recording.on_above_amps:
                for name in names:
                    plan.motors.setdefault(name, []).append((at, at + SECOND))
        end = recording.at_ms + len(recording.amperes) * SECOND
        points.append((end, 0))
        plan.plugged.append((recording.at_ms - recording.power_before_ms, end + recording.power_after_ms))
    return readings


def _levels(source: Input) -> tuple[int, int]:
    """The readings at rest and running."""
    if source.driver == "current":
        return source.off_raw // 2, (source.on_raw + ADC_MAX) // 2
    return 1 - source.active, source.active


def _bouncing(dice: random.Random, at: int, before: int, after: int, bounces: int) -> list[tuple[int, int]]:
    """The contact closes or opens, chattering for up to some 12 ms before it settles."""
    changes = [(at, after)]
    moment = at
    for _ in range(bounces):
        moment += dice.randint(1, 2)
        changes.append((moment, before))
        moment += dice.randint(1, 2)
        changes.append((moment, after))
    return changes


def _outages(spans: Iterable[tuple[int, int, str]], normal: Any) -> list[tuple[int, Any]]:
    """Changes of state; where outages overlap, the one that began last is in force."""
    spans = list(spans)
    changes = []
    for moment in sorted({edge for start, end, _ in spans for edge in (start, end)}):
        now = [mode for start, end, mode in spans if start <= moment < end]
        changes.append((moment, now[-1] if now else normal))
    return changes


def build(scenario: Scenario, seed: int | None = None) -> Timeline:
    """Raises ScenarioError where the scenario cannot be: no power at all, or a press at a moment without it."""
    seed = scenario.seed if seed is None else seed
    length = scenario.duration_ms
    plan = _Plan()
    _cleans(scenario, seed, plan)
    readings = _recordings(scenario, plan)
    plan.plugged += [(span.start_ms, span.end_ms) for span in scenario.plugged]
    plan.cuts += [(span.start_ms, span.end_ms) for span in scenario.power_cuts]
    if scenario.powered == "always":
        plan.plugged.append((0, length))
    powered = both(without(union(plan.plugged), plan.cuts), [(0, length)])
    if not powered:
        raise ScenarioError(f"{scenario.path}: clean: the unit never has power; allowed: a clean, plugged or powered")
    running = {name: both(union(plan.motors.get(name, [])), powered) for name in scenario.product.inputs}
    gpio = boards.pins("virtual")
    changes: list[tuple[int, str, int, int]] = []  # moment, kind, gpio, value
    rest: dict[int, int] = {}
    for source in scenario.product.inputs.values():
        low, high = _levels(source)
        kind = "adc" if source.driver == "current" else "pin"
        number = gpio[source.signal]
        rest[number] = low
        if source.signal in readings:
            changes += [(at, kind, number, raw) for at, raw in readings[source.signal]]
            on_above = min(r.on_above_amps / r.amps_full_scale for r in scenario.recordings)
            rest[number] = round(on_above * ADC_MAX / 2)
        for start, end in running[source.name]:
            if source.signal not in readings:
                changes += [(start, kind, number, high), (end, kind, number, low)]
    presses = []
    for number_of_press, press in enumerate(scenario.presses):
        dice = random.Random(f"{seed} press {number_of_press}")
        active = scenario.product.buttons[press.button]
        number = gpio[press.button]
        up_ms = press.at_ms + press.hold_ms
        down = _bouncing(dice, press.at_ms, 1 - active, active, press.bounces)
        up = _bouncing(dice, up_ms, active, 1 - active, press.bounces)
        changes += [(at, "pin", number, level) for at, level in down + up]
        whole = any(start <= press.at_ms and up_ms <= end for start, end in powered)
        if not any(start <= press.at_ms < end for start, end in powered):
            raise ScenarioError(
                f"{scenario.path}: press[{number_of_press + 1}].at: the unit has no power then; "
                "allowed: a moment within a clean or a [[plugged]] time"
            )
        presses.append(TruePress(press.button, press.at_ms, up_ms, whole))
    for button, active in scenario.product.buttons.items():
        rest[gpio[button]] = 1 - active
    wifi = [(span.start_ms, span.end_ms, span.mode) for span in scenario.wifi_outages]
    unknown_ms = min(scenario.clock.unknown_for_ms, length)
    brokers = [(span.start_ms, span.end_ms, span.mode) for span in scenario.broker_outages]
    hidden = [(0, unknown_ms, "refused")] if unknown_ms else []
    world: list[tuple[int, list[Any]]] = []
    world += [(at, ["wifi", mode]) for at, mode in _outages(wifi, "up")]
    world += [(at, ["broker", mode]) for at, mode in _outages(hidden + brokers, "up")]
    if not scenario.clock.ntp:
        world.append((0, ["ntp", False]))
    elif unknown_ms:
        world += [(0, ["ntp", False]), (unknown_ms, ["ntp", True])]
    error_ms = 0
    for jump in sorted(scenario.clock.jumps, key=lambda jump: jump.at_ms):
        if jump.clock == "ntp":
            error_ms += jump.by_ms
            world.append((jump.at_ms, ["ntp_error", error_ms]))
        else:
            world.append((jump.at_ms, ["rtc_jump", jump.by_ms]))
    everything = [(at, [kind, number, value]) for at, kind, number, value in changes] + world
    everything.sort(key=lambda entry: entry[0])
    sessions = []
    analog = {gpio[source.signal] for source in scenario.product.inputs.values() if source.driver == "current"}
    for count, (on_ms, off_ms) in enumerate(powered, 1):
        sessions.append(Session(count, on_ms, off_ms, _session_events(everything, on_ms, off_ms, rest, analog)))
    return Timeline(
        scenario,
        seed,
        sessions,
        running,
        presses,
        wifi,
        brokers,
        [(0, unknown_ms)] if unknown_ms else [],
        rest,
    )


def _session_events(
    everything: list[tuple[int, list[Any]]], on_ms: int, off_ms: int, rest: dict[int, int], analog: set[int]
) -> list[list[Any]]:
    """The events of one session, beginning with how everything stands at power-on."""
    state: dict[tuple[Any, ...], list[Any]] = {}
    for number, value in rest.items():
        kind = "adc" if number in analog else "pin"
        state[(kind, number)] = [kind, number, 0 if kind == "adc" else value]
    for at, event in everything:
        if at > on_ms:
            break
        if event[0] != "rtc_jump":
            state[tuple(event[:2]) if event[0] in ("pin", "adc") else (event[0],)] = event
    first = [[0, *event] for event in state.values()]
    later = [[at - on_ms, *event] for at, event in everything if on_ms < at < off_ms]
    return first + later
