"""A scenario file: TOML in, a checked model out. The format is described key by key in README.md.

All durations are milliseconds; moments are milliseconds since the scenario's start.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).resolve().parent / "scenarios"
PRODUCTS = ROOT / "firmware" / "products"

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNITS = {"ms": 1, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
LATEST_START_UTC_S = 4_102_444_800  # 2100
EARLIEST_START_UTC_S = 1_577_836_800  # 2020


class ScenarioError(Exception):
    """One line: file, key, reason, what is allowed."""


@dataclass(frozen=True)
class Input:
    """A runtime input of the product. level: pin level when running; current: ADC reading (16 bit) when running."""

    name: str
    driver: str
    signal: str
    active: int = 1
    on_raw: int = 0
    off_raw: int = 0


@dataclass(frozen=True)
class Consumable:
    id: int
    instance: str
    input: str
    button_signal: str | None
    button_active: int


@dataclass(frozen=True)
class Product:
    path: Path
    inputs: dict[str, Input]
    consumables: list[Consumable]
    data: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Product:
        """Reads what the simulator needs; whether the product is right is for the firmware to say."""
        try:
            data = json.loads(path.read_text())
            inputs = {
                entry["name"]: Input(
                    entry["name"],
                    entry["driver"],
                    entry["signal"],
                    entry.get("active", 1),
                    entry.get("on_raw", 0),
                    entry.get("off_raw", 0),
                )
                for entry in data["inputs"]
            }
            consumables = []
            for entry in data["consumables"]:
                button = entry.get("button") or {}
                signal, active = button.get("signal"), button.get("active", 0)
                consumables.append(Consumable(entry["id"], entry["instance"], entry["input"], signal, active))
        except OSError as error:
            raise ScenarioError(f"{path}: product: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ScenarioError(f"{path}: product: not a product file ({error!r})") from None
        return cls(path, inputs, consumables, data)

    def input_of(self, instance: str) -> str:
        return next(part.input for part in self.consumables if part.instance == instance)

    @property
    def ids(self) -> list[int]:
        """The consumables' ids, in the product's order."""
        return [part.id for part in self.consumables]

    @property
    def buttons(self) -> dict[str, int]:
        """Maps each button's signal to its pressed level."""
        return {part.button_signal: part.button_active for part in self.consumables if part.button_signal}


@dataclass(frozen=True)
class Clean:
    at_ms: int  # of the day
    days: tuple[int, ...]
    duration_ms: int
    inputs: dict[str, tuple[int, int]]  # name -> (from, length) within the clean; length 0: to its end
    ended_by: str
    power_before_ms: int
    power_after_ms: int
    off_for_ms: int
    vary_ms: int


@dataclass(frozen=True)
class Household:
    cleans_a_day: float
    duration_ms: tuple[int, int]
    between_ms: tuple[int, int]  # of the day
    cut_probability: float
    inputs: dict[str, float]  # name -> the part of cleans in which it runs
    power_before_ms: int
    power_after_ms: int
    off_for_ms: int


@dataclass(frozen=True)
class Press:
    button: str
    at_ms: int
    hold_ms: int
    bounces: int


@dataclass(frozen=True)
class Span:
    """From start_ms, for length_ms, in one of the modes of its kind."""

    start_ms: int
    length_ms: int
    mode: str = ""

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.length_ms


@dataclass(frozen=True)
class Jump:
    at_ms: int
    by_ms: int
    clock: str


@dataclass(frozen=True)
class Clock:
    ntp: bool = True
    unknown_for_ms: int = 0
    jumps: tuple[Jump, ...] = ()


@dataclass(frozen=True)
class Recording:
    """Amperes, one for each second, fed to an ADC input."""

    at_ms: int
    signal: str
    amperes: tuple[float, ...]
    amps_full_scale: float
    on_above_amps: float
    power_before_ms: int
    power_after_ms: int
    name: str = ""


@dataclass(frozen=True)
class Device:
    unique_id: str = "246f28a1b2c3"
    serial: str = "VPM1-000001"
    flash_kib: int = 2048
    heap_kib: int = 1024
    ticks_ms_start: int = 0
    wifi_connect_ms: int = 2000
    topic_root: str = "wearmeter"
    ntp_host: str | None = "pool.ntp.org"


@dataclass(frozen=True)
class Scenario:
    name: str
    path: Path
    title: str
    product: Product
    start_utc_ms: int
    days: int
    seed: int
    boot_ms: int
    powered: str  # "cleans" or "always"
    device: Device = field(default_factory=Device)
    cleans: tuple[Clean, ...] = ()
    household: Household | None = None
    plugged: tuple[Span, ...] = ()
    presses: tuple[Press, ...] = ()
    power_cuts: tuple[Span, ...] = ()
    wifi_outages: tuple[Span, ...] = ()
    broker_outages: tuple[Span, ...] = ()
    clock: Clock = field(default_factory=Clock)
    recordings: tuple[Recording, ...] = ()

    @property
    def duration_ms(self) -> int:
        return self.days * DAY

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """From a file, or by the name of one of the scenarios that come with the project. Raises ScenarioError."""
        file = Path(path)
        if not file.exists() and file.suffix == "" and (SCENARIOS / f"{file.name}.toml").exists():
            file = SCENARIOS / f"{file.name}.toml"
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ScenarioError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ScenarioError(f"{path}: not a text file in UTF-8") from None
        return cls.parse(text, file)

    @classmethod
    def parse(cls, text: str, path: Path = Path("scenario.toml")) -> Scenario:
        """Raises ScenarioError."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ScenarioError(f"{path}: not TOML: {error}") from None
        return _scenario(_Table(data, path, ""), path)


class _Table:
    """One table of the file: each key is taken once, and what is left over is unknown."""

    def __init__(self, data: Any, path: Path, where: str) -> None:
        self.path = path
        self.where = where
        if not isinstance(data, dict):
            raise ScenarioError(f"{path}: {where}: must be a table, not {data!r}")
        self.data = data
        self.known: list[str] = []

    def wrong(self, key: str, reason: str) -> ScenarioError:
        name = f"{self.where}.{key}" if self.where else key
        return ScenarioError(f"{self.path}: {name}: {reason}")

    def take(self, key: str, read: Callable[[Any], Any], default: Any = ...) -> Any:
        """The key's value through `read`, which raises ValueError(what is allowed)."""
        self.known.append(key)
        if key not in self.data:
            if default is ...:
                raise self.wrong(key, "is missing")
            return default
        value = self.data[key]
        try:
            return read(value)
        except ValueError as error:
            shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
            raise self.wrong(key, f"{shown} is not possible: {error}") from None

    def table(self, key: str) -> _Table | None:
        self.known.append(key)
        if key not in self.data:
            return None
        return _Table(self.data[key], self.path, self._name(key))

    def tables(self, key: str) -> list[_Table]:
        self.known.append(key)
        entries = self.data.get(key, [])
        if isinstance(entries, dict):
            entries = [entries]
        if not isinstance(entries, list):
            raise self.wrong(key, f"must be [[{key}]] tables")
        return [_Table(entry, self.path, f"{self._name(key)}[{i + 1}]") for i, entry in enumerate(entries)]

    def _name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def done(self) -> None:
        for key in self.data:
            if key not in self.known:
                raise self.wrong(key, f"unknown key; allowed here: {', '.join(sorted(self.known))}")


def whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))
        return str(value)

    return read


def text(pattern: str, allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(allowed)
        return value

    return read


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _duration(value: Any, signed: bool = False) -> int:
    match = re.fullmatch(r"([+-]?)(\d+(?:\.\d+)?) ?(ms|s|min|h|d)", value) if isinstance(value, str) else None
    if not match or (match[1] and not signed):
        raise ValueError('a duration like "500 ms", "3.5 s", "15 min", "2 h" or "2 d"')
    milliseconds = round(float(match[2]) * UNITS[match[3]])
    return -milliseconds if match[1] == "-" else milliseconds


def duration(low: int, high: int) -> Callable[[Any], int]:
    """A duration in milliseconds from low to high."""

    def read(value: Any) -> int:
        milliseconds = _duration(value)
        if not low <= milliseconds <= high:
            raise ValueError(f"from {_shown(low)} to {_shown(high)}")
        return milliseconds

    return read


def _shown(milliseconds: int) -> str:
    for unit in ("d", "h", "min", "s"):
        if milliseconds >= UNITS[unit] and milliseconds % UNITS[unit] == 0:
            return f"{milliseconds // UNITS[unit]} {unit}"
    return f"{milliseconds} ms"


def time_of_day(value: Any) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?", value) if isinstance(value, str) else None
    if not match or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
        raise ValueError('a UTC time of day like "09:00", "09:00:30" or "09:00:30.250"')
    seconds = (int(match[1]) * 60 + int(match[2])) * 60 + int(match[3] or 0)
    return seconds * SECOND + int((match[4] or "0").ljust(3, "0"))


def utc(value: Any) -> int:
    allowed = "a UTC date and time from 2020 to 2099 like 2026-03-02T00:00:00Z, without quotes"
    if not isinstance(value, datetime) or value.tzinfo is None or value.utcoffset() != timezone.utc.utcoffset(None):
        raise ValueError(allowed)
    seconds = int(value.timestamp())
    if not EARLIEST_START_UTC_S <= seconds < LATEST_START_UTC_S:
        raise ValueError(allowed)
    return seconds * SECOND + value.microsecond // 1000


@dataclass(frozen=True)
class _Frame:
    """What moments are reckoned in: the first day is day 1, times of day are UTC."""

    start_utc_ms: int
    days: int

    def moment(self, value: Any) -> int:
        """Milliseconds since the start."""
        match = re.fullmatch(r"day (\d+) (\S+)", value) if isinstance(value, str) else None
        if not match:
            raise ValueError('a moment like "day 4 17:49:30"')
        if not 1 <= int(match[1]) <= self.days:
            raise ValueError(f"the scenario has the days 1 to {self.days}")
        at_ms = self.at(int(match[1]), time_of_day(match[2]))
        if at_ms < 0:
            raise ValueError("this is before the scenario's start")
        return at_ms

    def at(self, day: int, of_day_ms: int) -> int:
        midnight_ms = self.start_utc_ms // DAY * DAY
        return midnight_ms + (day - 1) * DAY + of_day_ms - self.start_utc_ms

    def day_list(self, value: Any) -> tuple[int, ...]:
        if value == "all":
            return tuple(range(1, self.days + 1))
        if not isinstance(value, list) or not value:
            raise ValueError('"all" or a list of days like [1, 3]')
        return tuple(sorted({whole(1, self.days)(day) for day in value}))


def _product(path: Path) -> Callable[[Any], Product]:
    def read(value: Any) -> Product:
        names = sorted(file.stem for file in PRODUCTS.glob("*.json"))
        if not isinstance(value, str) or not value:
            raise ValueError(f"one of {', '.join(names)}, or the path of a product file from here")
        file = PRODUCTS / f"{value}.json" if value in names else path.parent / value
        if not file.is_file():
            raise ValueError(f"one of {', '.join(names)}, or the path of a product file from here")
        return Product.load(file)

    return read


def _clean_inputs(table: _Table, product: Product, duration_ms: int) -> dict[str, tuple[int, int]]:
    def read(value: Any) -> dict[str, tuple[int, int]]:
        if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
            return {known_input(name): (0, 0) for name in value}
        if not isinstance(value, dict) or not value:
            raise ValueError('a list like ["suction"], or a table like { brush = { from = "2 min", for = "5 min" } }')
        found = {}
        for name, part in value.items():
            known_input(name)
            if part == "all":
                found[name] = (0, 0)
                continue
            inner = _Table(part, table.path, f"{table.where}.inputs.{name}")
            start = inner.take("from", duration(0, duration_ms - 1), 0)
            length = inner.take("for", duration(1, duration_ms), 0)
            inner.done()
            if start + length > duration_ms:
                raise inner.wrong("for", f"ends after the clean, which lasts {_shown(duration_ms)}")
            found[name] = (start, length)
        return found

    def known_input(name: str) -> str:
        if name not in product.inputs:
            raise ValueError(f"the product has the inputs {', '.join(product.inputs)}")
        return name

    return table.take("inputs", read, dict.fromkeys(product.inputs, (0, 0)))


def _clean(table: _Table, product: Product, frame: _Frame) -> Clean:
    duration_ms = table.take("duration", duration(SECOND, DAY))
    clean = Clean(
        at_ms=table.take("at", time_of_day),
        days=table.take("days", frame.day_list, frame.day_list("all")),
        duration_ms=duration_ms,
        inputs=_clean_inputs(table, product, duration_ms),
        ended_by=table.take("ended_by", one_of("cut", "switch"), "cut"),
        power_before_ms=table.take("power_before", duration(0, DAY), 5 * SECOND),
        power_after_ms=table.take("power_after", duration(0, DAY), 10 * SECOND),
        off_for_ms=table.take("off_for", duration(SECOND, DAY), MINUTE),
        vary_ms=table.take("vary", duration(0, HOUR), 0),
    )
    table.done()
    return clean


def _household(table: _Table, product: Product) -> Household:
    def pair(read_one: Callable[[Any], int]) -> Callable[[Any], tuple[int, int]]:
        def read(value: Any) -> tuple[int, int]:
            if not isinstance(value, list) or len(value) != 2:
                raise ValueError("a list of two, the least and the most")
            low, high = read_one(value[0]), read_one(value[1])
            if low > high:
                raise ValueError("the first is more than the second")
            return low, high

        return read

    def parts(value: Any) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            raise ValueError("a table like { suction = 1.0, brush = 0.5 }")
        for name in value:
            if name not in product.inputs:
                raise ValueError(f"the product has the inputs {', '.join(product.inputs)}")
        return {name: number(0, 1)(part) for name, part in value.items()}

    household = Household(
        cleans_a_day=table.take("cleans_a_day", number(0, 24)),
        duration_ms=table.take("duration", pair(duration(SECOND, DAY)), (5 * MINUTE, 25 * MINUTE)),
        between_ms=table.take("between", pair(time_of_day), (7 * HOUR, 21 * HOUR)),
        cut_probability=table.take("cut_probability", number(0, 1), 0.8),
        inputs=table.take("inputs", parts, dict.fromkeys(product.inputs, 1.0)),
        power_before_ms=table.take("power_before", duration(0, DAY), 5 * SECOND),
        power_after_ms=table.take("power_after", duration(0, DAY), 10 * SECOND),
        off_for_ms=table.take("off_for", duration(SECOND, DAY), MINUTE),
    )
    table.done()
    return household


def _spans(tables: list[_Table], frame: _Frame, length: str, modes: tuple[str, ...] = ()) -> tuple[Span, ...]:
    spans = []
    start = "at" if length == "off_for" or not modes else "from"
    for table in tables:
        spans.append(
            Span(
                table.take(start, frame.moment),
                table.take(length, duration(1, 366 * DAY)),
                table.take("mode", one_of(*modes), modes[0]) if modes else "",
            )
        )
        table.done()
    return tuple(spans)


def _press(table: _Table, product: Product, frame: _Frame) -> Press:
    press = Press(
        button=table.take("button", one_of(*product.buttons)),
        at_ms=table.take("at", frame.moment),
        hold_ms=table.take("hold", duration(1, HOUR), 3500),
        bounces=table.take("bounces", whole(0, 50), 0),
    )
    table.done()
    return press


def _clock(table: _Table | None, frame: _Frame) -> Clock:
    if table is None:
        return Clock()
    jumps = []
    ntp = table.take("ntp", boolean, True)
    unknown_for_ms = table.take("unknown_for", duration(0, 366 * DAY), 0)
    for entry in table.tables("jump"):
        at_ms = entry.take("at", frame.moment)
        by_ms = entry.take("by", lambda value: _duration(value, signed=True))
        jumps.append(Jump(at_ms, by_ms, entry.take("clock", one_of("ntp", "rtc"), "ntp")))
        entry.done()
    table.done()
    return Clock(ntp, unknown_for_ms, tuple(jumps))


def _recording(table: _Table, product: Product, frame: _Frame) -> Recording:
    signals = [entry.signal for entry in product.inputs.values() if entry.driver == "current"]
    if not signals:
        raise table.wrong("signal", "the product has no input with the driver current")
    column = table.take("column", text(r".+", "a column's name"), "RMS Current")
    full_scale = table.take("amps_full_scale", number(0.001, 10_000))
    file = table.take("file", lambda value: _recording_file(table.path, value))
    recording = Recording(
        at_ms=table.take("at", frame.moment),
        signal=table.take("signal", one_of(*signals), signals[0]),
        amperes=_amperes(table, file, column),
        amps_full_scale=full_scale,
        on_above_amps=table.take("on_above_amps", number(0, 10_000), 0.5),
        power_before_ms=table.take("power_before", duration(0, DAY), 5 * SECOND),
        power_after_ms=table.take("power_after", duration(0, DAY), 10 * SECOND),
        name=file.name,
    )
    table.done()
    if max(recording.amperes) > full_scale:
        most = max(recording.amperes)
        raise table.wrong("amps_full_scale", f"{full_scale:g} is not possible: the recording has {most:g} A")
    return recording


def _recording_file(path: Path, value: Any) -> Path:
    """From the scenario's folder, or from the folder of the repository or the one above it."""
    if not isinstance(value, str) or not value:
        raise ValueError("the path of a CSV file")
    for folder in (path.parent, ROOT):
        if (folder / value).is_file():
            return folder / value
    raise ValueError("no such file")


def _amperes(table: _Table, file: Path, column: str) -> tuple[float, ...]:
    import csv

    with open(file, newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if column not in (rows.fieldnames or []):
            names = ", ".join(rows.fieldnames or [])
            raise table.wrong("column", f"{column!r} is not possible: {file.name} has {names}")
        values = []
        for number_of_row, row in enumerate(rows, 2):
            try:
                values.append(float(row[column]))
            except (TypeError, ValueError):
                reason = f"{file.name} line {number_of_row}: {row[column]!r} is not a number"
                raise table.wrong("file", reason) from None
    if not values:
        raise table.wrong("file", f"{file.name} has no rows")
    return tuple(values)


def _device(table: _Table | None) -> Device:
    if table is None:
        return Device()
    plain = Device()
    device = Device(
        unique_id=table.take("unique_id", text(r"[0-9a-f]{12}", "12 lower-case hex digits"), plain.unique_id),
        serial=table.take("serial", text(r"[ -~]{1,64}", "1 to 64 printable characters"), plain.serial),
        flash_kib=table.take("flash_kib", whole(128, 16384), plain.flash_kib) // 4 * 4,
        heap_kib=table.take("heap_kib", whole(128, 65536), plain.heap_kib),
        ticks_ms_start=table.take("ticks_ms_start", whole(0, (1 << 30) - 1), plain.ticks_ms_start),
        wifi_connect_ms=table.take("wifi_connect", duration(0, MINUTE), plain.wifi_connect_ms),
        topic_root=table.take("topic_root", text(r"[^+#\x00]{1,128}", "a topic without + and #"), plain.topic_root),
        ntp_host=table.take("ntp_host", text(r"[A-Za-z0-9.-]{1,253}", "a host name"), plain.ntp_host),
    )
    table.done()
    return device


def _scenario(table: _Table, path: Path) -> Scenario:
    product = table.take("product", _product(path))
    start_utc_ms = table.take("start", utc)
    days = table.take("days", whole(1, 3660))
    frame = _Frame(start_utc_ms, days)
    household = table.table("household")
    scenario = Scenario(
        name=path.stem,
        path=path,
        title=table.take("title", text(r"[^\n]{1,120}", "one line of up to 120 characters"), path.stem),
        product=product,
        start_utc_ms=start_utc_ms,
        days=days,
        seed=table.take("seed", whole(0, (1 << 31) - 1), 1),
        boot_ms=table.take("boot_ms", whole(0, 60_000), 700),
        powered=table.take("powered", one_of("cleans", "always"), "cleans"),
        device=_device(table.table("device")),
        cleans=tuple(_clean(entry, product, frame) for entry in table.tables("clean")),
        household=_household(household, product) if household else None,
        plugged=_spans(table.tables("plugged"), frame, "for"),
        presses=tuple(_press(entry, product, frame) for entry in table.tables("press")),
        power_cuts=_spans(table.tables("power_cut"), frame, "off_for"),
        wifi_outages=_spans(table.tables("wifi_outage"), frame, "for", ("gone", "no_internet")),
        broker_outages=_spans(table.tables("broker_outage"), frame, "for", ("refused", "silent")),
        clock=_clock(table.table("clock"), frame),
        recordings=tuple(_recording(entry, product, frame) for entry in table.tables("recording")),
    )
    table.done()
    return scenario
