"""Checks the maker's JSON files and packs them into the records that the device trusts by their checksum.

    data = pack_product(read_product(data, "vacuum.json", signals))
    data = pack_config(read_config(data, "unit.json"))
    files = unit_files("product", data)       # unit/a/product and unit/b/product

The device parses no JSON and checks no field: see firmware/wearmeter/device/unit_files.py, which reads these records.
What the relay needs of a product (names in eight languages) is packed as the bytes that the device will send.

A mistake is one line: file, field, value (never a secret's), and what is allowed. Limits are Amazon's where it has any
(six named attributes of up to 256 characters, instance and friendly names).
"""

from __future__ import annotations

import binascii
import json
import struct
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import cbor2
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

SCHEMA = 2
_MAGIC, _FORMAT = 0x57, 2  # firmware/wearmeter/flash/record.py


class FileError(ValueError):
    """A file cannot be used; the text is one line that names file, field, value and what is allowed."""


# Types of fields, by their range.
Text0To64 = Annotated[StrictStr, Field(min_length=0, max_length=64)]
Text1To16 = Annotated[StrictStr, Field(min_length=1, max_length=16)]
Text1To32 = Annotated[StrictStr, Field(min_length=1, max_length=32)]
Text1To64 = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Text1To128 = Annotated[StrictStr, Field(min_length=1, max_length=128)]
Text1To253 = Annotated[StrictStr, Field(min_length=1, max_length=253)]
Whole0To255 = Annotated[StrictInt, Field(ge=0, le=255)]
Whole0To10000 = Annotated[StrictInt, Field(ge=0, le=10000)]
Whole0To100000 = Annotated[StrictInt, Field(ge=0, le=100000)]
Whole1To24 = Annotated[StrictInt, Field(ge=1, le=24)]
Whole1To255 = Annotated[StrictInt, Field(ge=1, le=255)]
Whole1To65535 = Annotated[StrictInt, Field(ge=1, le=65535)]
Whole1To100000 = Annotated[StrictInt, Field(ge=1, le=100000)]
Level = Annotated[StrictInt, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Color(_Strict):
    """What a NeoPixel lights in, 0 to 255 each."""

    red: Whole0To255
    green: Whole0To255
    blue: Whole0To255


class Led(_Strict):
    """The status light: an LED on a pin, lit at level `active`, or a NeoPixel that lights in `color`."""

    signal: StrictStr
    active: Level = 1
    color: Color | None = None


class Band(_Strict):
    """From a power of `from` (in the driver's unit) a second counts `permille` thousandths."""

    from_: Whole0To100000 = Field(alias="from")
    permille: Whole0To10000


# The fields that a driver has beside its signal, and the highest value of its thresholds.
THRESHOLDS = {
    "current": ("on_raw", "off_raw", 65535),
    "mains": ("on_rms", "off_rms", 2047),
    "tachometer": ("on_hz", "off_hz", 100000),
}
DRIVERS = ("level", "current", "mains", "tachometer", "hardware")


class Input(_Strict):
    """One run-time input."""

    name: Text1To16
    driver: Literal["level", "current", "mains", "tachometer", "hardware"]
    signal: StrictStr
    active: Level | None = None
    on_raw: StrictInt | None = None
    off_raw: StrictInt | None = None
    on_rms: StrictInt | None = None
    off_rms: StrictInt | None = None
    on_hz: StrictInt | None = None
    off_hz: StrictInt | None = None
    wear: Annotated[list[Band], Field(min_length=1, max_length=8)] | None = None

    @model_validator(mode="after")
    def _fields_of_the_driver(self) -> Input:
        wanted: set[str] = {"active"} if self.driver in ("level", "hardware") else set()
        if self.driver in THRESHOLDS:
            on, off, high = THRESHOLDS[self.driver]
            wanted = {on, off}
            on_value, off_value = getattr(self, on), getattr(self, off)
            if on_value is None or not 1 <= on_value <= high:
                raise ValueError(f"{on} is {_shown(on_value)}, allowed: a whole number from 1 to {high}")
            if off_value is None or not 0 <= off_value < on_value:
                raise ValueError(f"{off} is {_shown(off_value)}, allowed: a whole number from 0 to {on_value - 1}")
        every = {"active", *(name for on, off, _ in THRESHOLDS.values() for name in (on, off))}
        for name in sorted(every - wanted):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is unknown with driver {self.driver}, allowed: {', '.join(sorted(wanted))}")
        if self.wear:
            if self.driver in ("level", "hardware"):
                raise ValueError(f"wear is unknown with driver {self.driver}: it tells no power")
            begins = [band.from_ for band in self.wear]
            if begins != sorted(set(begins)) or begins[0]:
                raise ValueError("wear is out of order, allowed: bands in ascending order, the first from 0")
        return self

    @property
    def packed(self) -> list[Any]:
        """As the device's Product has it: driver, signal, on (a level's active level), off, weight bands or None."""
        if self.driver in THRESHOLDS:
            on, off, _ = THRESHOLDS[self.driver]
            levels = [getattr(self, on), getattr(self, off)]
        else:
            levels = [1 if self.active is None else self.active, 0]
        bands = [[band.from_, band.permille] for band in self.wear] if self.wear else None
        return [self.driver, self.signal, *levels, bands]


class Button(_Strict):
    """The button that reports a part as replaced."""

    signal: StrictStr
    active: Level = 0


class Consumable(_Strict):
    """One wearing part. `id` is its own for ever: its counts are kept under it. Without a button, a replacement can
    only come from the relay."""

    id: Whole1To255
    instance: Text1To64
    input: StrictStr
    button: Button | None = None
    rated_life_h: Whole1To100000
    replenishment_id: Text1To128 | None = None
    names: Annotated[dict[str, Text1To128], Field(min_length=1)]


class Product(_Strict):
    """What a product is: its inputs and consumables."""

    schema_: Literal[2] = Field(alias="schema")
    model: Text1To64
    manufacturer: Text1To64
    description: Text1To128
    max_on_h: Whole1To24 = 6
    powered_with_motor: bool = False
    led: Led
    inputs: Annotated[list[Input], Field(min_length=1, max_length=8)]
    consumables: Annotated[list[Consumable], Field(min_length=1, max_length=8)]
    _checked: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _hangs_together(self, info: ValidationInfo) -> Product:
        signals = (info.context or {}).get("signals")
        used: dict[str, str] = {}

        def use(where: str, signal: str) -> None:
            if signals is not None and signal not in signals:
                raise ValueError(f"{where}: signal is {_shown(signal)}, allowed: {', '.join(sorted(signals))}")
            if signal in used:
                raise ValueError(f"{where}: signal is {_shown(signal)}, which {used[signal]} has already")
            used[signal] = where

        for at, item in enumerate(self.inputs):
            use(f"inputs[{at}]", item.signal)
        for at, part in enumerate(self.consumables):
            if part.button:
                use(f"consumables[{at}]: button", part.button.signal)
        use("led", self.led.signal)
        _once("inputs", "name", [item.name for item in self.inputs])
        _once("consumables", "id", [part.id for part in self.consumables])
        _once("consumables", "instance", [part.instance for part in self.consumables])
        names = [item.name for item in self.inputs]
        for at, part in enumerate(self.consumables):
            if part.input not in names:
                raise ValueError(f"consumables[{at}]: input is {_shown(part.input)}, allowed: {' or '.join(names)}")
        return self


class Wifi(_Strict):
    """The house's network."""

    ssid: Text1To32
    password: Annotated[SecretStr, Field(min_length=8, max_length=63)] | None = None


class Broker(_Strict):
    """The maker's broker. `ca`, `client_cert`, `client_key`: DER. Plain TCP only where the file says so."""

    host: Text1To253
    port: Whole1To65535 | None = None
    transport: Literal["tls", "psk", "plain"] = "tls"
    ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = Field(default=None, repr=False)
    user: Text1To128 | None = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)] | None = None
    psk_identity: Text1To64 | None = None
    psk_key: SecretStr | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Broker:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert is given by half, allowed: client_cert and client_key, or neither")
        if (self.user is None) != (self.password is None):
            raise ValueError("user is given by half, allowed: user and password, or neither")
        if (self.transport == "psk") != (self.psk_identity is not None and self.psk_key is not None):
            raise ValueError("psk_identity is given by half, allowed: psk_identity and psk_key with transport psk")
        if self.psk_key is not None:
            key = self.psk_key.get_secret_value()
            if len(key) % 2 or not 32 <= len(key) <= 64 or set(key.lower()) - set("0123456789abcdef"):
                raise ValueError("psk_key is (secret), allowed: 16 to 32 bytes in hex")
        return self


class Config(_Strict):
    """What one unit is told at provisioning: Wi-Fi, broker, identity."""

    schema_: Literal[2] = Field(alias="schema")
    wifi: Wifi
    broker: Broker
    topic_root: Text1To64 = "wearmeter"
    device: Annotated[StrictStr, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    serial: Text0To64 = ""
    ntp_host: Text1To253 | None = None

    @field_validator("topic_root")
    @classmethod
    def _levels(cls, root: str) -> str:
        if "+" in root or "#" in root or root[0] == "/" or root[-1] == "/":
            raise ValueError(f"is {_shown(root)}, allowed: levels divided by /, without + and #")
        return root


def _once(where: str, key: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{where}: {key} is {_shown(value)} twice, allowed: each {key} only once")


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


_ALLOWED = {
    "string_pattern_mismatch": "letters, digits, _ and -",
    "literal_error": "{expected}",
    "model_type": "an object with fields",
    "list_type": "a list",
    "dict_type": "an object of texts",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
_SECRETS = ("password", "psk_key", "client_key")


def _line(where: str, model: type[BaseModel], error: ValidationError) -> str:
    """The first mistake as one line."""
    first = error.errors(include_url=False)[0]
    way = ""
    for step in first["loc"]:
        way += f"[{step}]" if isinstance(step, int) else f": {step}"
    kind, context = first["type"], first.get("ctx", {})
    if kind == "value_error":
        text = str(context.get("error", first["msg"]))
        return f"{where}{way} {text}" if text.startswith("is ") else f"{where}{way}: {text}"
    if kind == "missing":
        return f"{where}{way} is missing"
    if kind == "extra_forbidden":
        return f"{where}{way} is unknown, allowed: {', '.join(_fields(model, first['loc'][:-1]))}"
    secret = first["loc"] and first["loc"][-1] in _SECRETS
    value = "(secret)" if secret else _shown(first["input"])
    allowed = _ALLOWED.get(kind, "").format(**context) or _range(model, first["loc"]) or first["msg"]
    return f"{where}{way} is {value}, allowed: {allowed}"


def _fields(model: Any, way: Iterable[Any]) -> list[str]:
    """The names of the fields of the part of `model` that a way of keys leads to."""
    for step in way:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        model = next(found for found in _models(annotation))
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _range(model: Any, way: tuple[Any, ...]) -> str:
    """What a field allows, by its bounds: "a whole number from 1 to 24"; "" where it has none."""
    names = [step for step in way if isinstance(step, str)]
    for step in names[:-1]:
        model = next(iter(_models(model.model_fields[step].annotation)), model)
    field = {info.alias or name: info for name, info in model.model_fields.items()}.get(names[-1])
    found: dict[str, Any] = {}
    for note in _notes(field):
        for key in ("ge", "le", "min_length", "max_length"):
            if getattr(note, key, None) is not None:
                found.setdefault(key, getattr(note, key))
    if "ge" in found:
        return f"a whole number from {found['ge']} to {found['le']}"
    what = "a list" if field is not None and "list[" in str(field.annotation) else "a text"
    unit = "items" if what == "a list" else "characters"
    return f"{what} of {found['min_length']} to {found['max_length']} {unit}" if "max_length" in found else ""


def _notes(item: Any) -> Iterable[Any]:
    """All constraints on a field, and on what its annotation is made of."""
    for note in (*getattr(item, "metadata", ()), *getattr(item, "__metadata__", ())):
        yield note
        yield from getattr(note, "metadata", ())
    for inner in (getattr(item, "annotation", None), *getattr(item, "__args__", ())):
        if inner is not None and inner is not item:
            yield from _notes(inner)


def _models(annotation: Any) -> Iterable[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def read_product(data: Any, where: str, signals: Iterable[str] | None = None) -> Product:
    """The product of a JSON object; `signals` are those of its board. Raises FileError, which begins with `where`."""
    try:
        return Product.model_validate(data, context={"signals": None if signals is None else set(signals)})
    except ValidationError as error:
        raise FileError(_line(where, Product, error)) from None


def read_config(data: Any, where: str) -> Config:
    """The config of a JSON object, certificates and keys in DER. Raises FileError, which begins with `where`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise FileError(_line(where, Config, error)) from None


def pack_product(product: Product) -> bytes:
    """The payload of a product's record."""
    led = product.led
    color = [led.color.red, led.color.green, led.color.blue] if led.color else None
    names = [item.name for item in product.inputs]
    about = [
        [part.id, part.instance, part.input, part.rated_life_h, part.replenishment_id, sorted(part.names.items())]
        for part in product.consumables
    ]
    parts = [
        [
            part.id,
            names.index(part.input),
            part.rated_life_h,
            part.button.signal if part.button else None,
            part.button.active if part.button else 0,
        ]
        for part in product.consumables
    ]
    head = b"".join(cbor2.dumps(text) for text in (product.model, product.manufacturer, product.description))
    return cbor2.dumps(
        [
            SCHEMA,
            head,
            cbor2.dumps(about),
            product.max_on_h * 3600000,
            product.powered_with_motor,
            [led.signal, led.active, color],
            [item.packed for item in product.inputs],
            parts,
        ]
    )


def pack_config(config: Config) -> bytes:
    """The payload of a config's record."""
    wifi, broker = config.wifi, config.broker
    port = broker.port or (1883 if broker.transport == "plain" else 8883)
    key = bytes.fromhex(broker.psk_key.get_secret_value()) if broker.psk_key else None
    return cbor2.dumps(
        [
            SCHEMA,
            config.serial,
            config.device,
            config.topic_root,
            [wifi.ssid, _open(wifi.password)],
            [broker.host, port, broker.transport, broker.user, _open(broker.password)],
            [broker.ca, broker.client_cert, broker.client_key],
            [broker.psk_identity, key],
            config.ntp_host,
        ]
    )


def _open(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def record(payload: bytes, counter: int = 1) -> bytes:
    """A payload as the device keeps it: magic, format, counter, payload, CRC-32."""
    data = struct.pack("<BBI", _MAGIC, _FORMAT, counter) + payload
    return data + struct.pack("<I", binascii.crc32(data))


def unit_files(name: str, payload: bytes, counter: int = 1) -> dict[str, bytes]:
    """The two files of a unit's record `name` ("product" or "config"): path on the device -> content."""
    data = record(payload, counter)
    return {f"unit/a/{name}": data, f"unit/b/{name}": data}
