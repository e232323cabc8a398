"""From what a run left behind to its Story, its verdict and result.json."""

from __future__ import annotations

from typing import Any

from tools.demo.run import Record, parts_of
from tools.demo.story import Mark, Part, Report, Row, Span, Story, Use
from tools.relay.core import wire
from tools.simulator.vacuum import Generation

DAY_MS = 86_400_000
UNKNOWN_SHOWN_MS = 300_000  # shorter ones are the seconds after each power-on: too narrow to see
OUTAGES = {
    "gone": "no Wi-Fi",
    "no_internet": "Wi-Fi without internet",
    "refused": "broker refuses connections",
    "silent": "broker is silent",
}


class Narrator:
    """Turns one Record into what is shown and written."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.scenario = record.scenario
        self.timeline = record.result.timeline
        self.parts = parts_of(record.scenario)
        self._by_id = {part.id: part for part in self.parts}
        self.names = {part.instance: part.name.lower() for part in self.parts}
        self.start_s = record.scenario.start_utc_ms / 1000
        self.duration_ms = self.scenario.duration_ms

    # ---- the verdict

    def cuts(self, start_ms: int, end_ms: int) -> int:
        """Power cuts of the scenario between two moments."""
        ends = [boot.end_ms for boot in self.record.result.boots if boot.ended == "cut"]
        return sum(1 for at in ends if start_ms < at <= min(end_ms, self.duration_ms))

    def epoch(self) -> int | None:
        """The device's latest: totals of another begin from nothing and are not this ledger's."""
        for line in reversed(self.record.result.console):
            if line.word == "boot" and "epoch" in line.values:
                return int(line.values["epoch"])
        return None

    def rows(self) -> list[Row]:
        epoch = self.epoch()
        held = {
            (usage.instance, usage.generation): usage.used_s
            for usage in self.record.holdings.usage
            if usage.epoch == epoch
        }
        return [
            Row(
                part.instance,
                part.generation,
                part.true_ms,
                -1 if part.counted_ms is None else part.counted_ms,
                held.get((part.instance, part.generation)),
                self.cuts(part.start_ms, part.end_ms),
            )
            for part in self.record.result.generations
        ]

    def result_json(self, story: Story) -> dict[str, Any]:
        """The run in figures: the schema that other tools read."""
        record = self.record
        return {
            "schema": 1,
            "virtual_days": self.scenario.days,
            "power_cuts": self.cuts(-1, self.duration_ms),
            "consumables": [
                {
                    "instance": row.instance,
                    "generation": row.generation,
                    "true_ms": row.true_ms,
                    "counted_ms": row.counted_ms,
                    "accepted_s": row.accepted_s,
                }
                for row in story.rows
            ],
            "flash": {
                "saves": record.saves,
                "erases": record.result.flash.erases,
                "hottest_block_erases": record.result.flash.hottest_block_erases,
                "bytes_programmed": record.result.flash.bytes_programmed,
            },
            "wire": {
                "messages": record.holdings.messages,
                "payload_bytes_max": record.holdings.payload_bytes_max,
            },
            "heap_peak_bytes": record.result.heap_peak,
            "wall_s": round(record.wall_s, 3),
        }

    # ---- the story

    def story(self) -> Story:
        record = self.record
        reports, known = self.reports()
        return Story(
            title=self.scenario.title,
            start_utc_s=self.scenario.start_utc_ms // 1000,
            duration_ms=self.duration_ms + record.epilogue_ms,
            parts=self.parts,
            powered=[Span(session.on_ms, session.off_ms) for session in self.timeline.sessions],
            inputs={name: [Span(a, b) for a, b in runs] for name, runs in self.timeline.running.items()},
            outages=[
                Span(start, min(end, self.duration_ms), mode, OUTAGES.get(mode, mode))
                for start, end, mode in self.timeline.wifi_outages + self.timeline.broker_outages
            ],
            clock_unknown=self.clock_unknown(),
            marks=self.marks(),
            reports=reports,
            used={part.instance: self.used(part) for part in self.parts},
            known=known,
            rows=self.rows(),
            messages=record.holdings.messages,
            payload_bytes_max=record.holdings.payload_bytes_max,
            scenario=self.scenario.path.name,
            seed=record.seed,
        )

    def at_ms(self, utc_s: float) -> int:
        return round((utc_s - self.start_s) * 1000)

    def marks(self) -> list[Mark]:
        marks: list[Mark] = []
        for boot in self.record.result.boots:
            if boot.ended == "cut":
                if boot.end_ms <= self.duration_ms:
                    marks.append(Mark(boot.end_ms, "cut", "power cut"))
            elif boot.ended != "stopped":
                marks.append(Mark(boot.end_ms, "fault", f"the chip started again: {boot.ended}"))
        for line in self.record.result.console:
            part = self._by_id.get(int(line.values.get("id", 0)))
            instance = part.instance if part else None
            name = self.names.get(instance or "", "part")
            if line.word == "replaced":
                marks.append(Mark(line.at_ms, "replaced", f"new {name} fitted: button held 3 s", instance))
            elif line.word == "undone":
                marks.append(Mark(line.at_ms, "undone", f"{name}: replacement taken back", instance))
            elif line.word == "fault":
                marks.append(Mark(line.at_ms, "fault", f"fault: {line.text.removeprefix('wm fault ')}"))
        for told in self.record.told:
            name = self.names.get(told.instance, told.instance)
            if told.name == "InventoryReplaced":
                marks.append(Mark(self.at_ms(told.utc_s), "event-replaced", f"Alexa is told: {name} replaced"))
            else:
                minutes = (told.usage_s or 0) / 60
                marks.append(Mark(self.at_ms(told.utc_s), "event", f"Alexa is told: {name} used {minutes:.0f} min"))
        return sorted(marks, key=lambda mark: mark.at_ms)

    def clock_unknown(self) -> list[Span]:
        """From a power-on to when the device learnt the time; over a power cut if it had not until then."""
        learnt = {(line.session, line.at_ms): line.at_ms for line in self.record.result.console if line.word == "clock"}
        spans: list[Span] = []
        since: int | None = None
        for boot in self.record.result.boots:
            times = [at for (session, _), at in learnt.items() if session == boot.session and at >= boot.at_ms]
            since = boot.at_ms if since is None else since
            if times and min(times) <= boot.end_ms:
                spans.append(Span(since, min(times)))
                since = None
        if since is not None:
            spans.append(Span(since, self.duration_ms + self.record.epilogue_ms))
        return [span for span in spans if span.end_ms - span.start_ms >= UNKNOWN_SHOWN_MS]

    def reports(self) -> tuple[list[Report], dict[str, list[Use]]]:
        """Every message with when it was made and accepted, and what the relay knew of each part because of it."""
        epoch = self.epoch()
        reports: list[Report] = []
        known: dict[str, list[Use]] = {part.instance: [] for part in self.parts}
        for message in sorted(self.record.messages, key=lambda message: (message.received_utc_s, message.sequence)):
            if message.epoch != epoch:
                continue
            at_ms = self.at_ms(message.received_utc_s)
            up = wire.decode_up(message.payload)
            kind, merged = "report", 0
            if isinstance(up, wire.Report):
                merged = up.merged
                for total in up.totals:
                    part = self._by_id[total.id]
                    known[part.instance].append(Use(at_ms, total.generation, total.used_s * 1000))
            elif isinstance(up, wire.Replacement):
                kind = "replacement"
                part = self._by_id[up.id]
                known[part.instance].append(Use(at_ms, up.generation, 0))
            elif isinstance(up, wire.FaultTransition):
                kind = "fault message"
            else:
                kind = "answer"
            since_ms = min(at_ms, self.at_ms(message.sample_utc_s))
            reports.append(Report(message.sequence, since_ms, at_ms, kind, merged))
        return sorted(reports, key=lambda report: report.sequence), known

    def used(self, part: Part) -> list[Use]:
        """The true curve: it rises while the motor runs and begins anew with each fitted part."""
        corners: list[Use] = []
        for generation in self.generations(part):
            used_ms = 0
            corners.append(Use(generation.start_ms, generation.generation, 0))
            for start, end in self.timeline.running[part.input]:
                start, end = max(start, generation.start_ms), min(end, generation.end_ms)
                if start < end:
                    corners.append(Use(start, generation.generation, used_ms))
                    used_ms += end - start
                    corners.append(Use(end, generation.generation, used_ms))
        return corners

    def generations(self, part: Part) -> list[Generation]:
        return [entry for entry in self.record.result.generations if entry.instance == part.instance]
