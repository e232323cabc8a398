"""Words for the numbers that devices send; a test compares them with the firmware's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Fault(NamedTuple):
    """What a bit is called, what it means, and what somebody is to do."""

    name: str
    means: str
    do: str


FAULTS = (
    Fault(
        "copy_damaged",
        "One copy of the counts could not be read; another one is in use.",
        "Nothing at once. If it comes again, the flash is wearing out: replace the controller.",
    ),
    Fault(
        "counts_lost",
        "No copy of the counts could be read. Counting began again at zero, as a new epoch.",
        "Ask the owner how old each part is, and replace the controller if it happens twice.",
    ),
    Fault(
        "write_failed",
        "The flash refused a write; what is counted since then may be lost.",
        "Replace the controller.",
    ),
    Fault(
        "input_stuck",
        "An input has been on for longer than any clean lasts. It is not counted until it has been seen off.",
        "Check the sensor and its wiring, and the input's threshold in the product file.",
    ),
    Fault("button_stuck", "A button has been held for a minute.", "Free or replace the button."),
    Fault(
        "config_bad",
        "The unit's config or product file cannot be used; the last good one is.",
        "Provision the unit anew: make provision.",
    ),
    Fault(
        "queue_lost",
        "The queue or the record of replacements could not be read. Without the record each part begins at age "
        "zero, in a new epoch.",
        "Nothing at once; compare the parts' replacements below with what the owner knows.",
    ),
    Fault(
        "clock_refused",
        "A time server or the relay told an impossible time, which was not believed.",
        "Check the network's NTP server, and the relay's clock.",
    ),
    Fault(
        "message_refused",
        "A message from the relay was not valid.",
        "Compare the versions of firmware and relay; see who else may publish on the device's topic.",
    ),
    Fault(
        "input_noisy",
        "An input changed so often that its interrupt was switched off for a while.",
        "Check the sensor's wiring and its filter capacitor.",
    ),
    Fault(
        "crashed",
        "The firmware ended by an error or the watchdog, and started again.",
        "Read the detail beside it; report it to the firmware's makers with the version.",
    ),
    Fault(
        "safe_mode",
        "It crashed again and again: what crashes is left out, everything else goes on.",
        "Update the firmware; if that does not help, replace the controller.",
    ),
    Fault(
        "part_missing",
        "The product no longer names a part that has counts; they are kept.",
        "Provision the unit with a product that names all of its parts.",
    ),
    Fault(
        "flash_slow",
        "Erasing the flash takes so long that a power cut may cost more than a second.",
        "Replace the controller where the loss matters; other flash erases faster.",
    ),
    Fault(
        "slot_back",
        "A firmware did not run; the one before, or another, is in use.",
        "Read the detail beside it; deploy a mended firmware.",
    ),
    Fault(
        "input_failed",
        "An input's driver has raised an error; it counts nothing while it does, the others count on.",
        "The detail names the input's signal: check its wiring and the product file.",
    ),
)

LINK_REASONS = (
    "none",
    "wifi_timeout",
    "wrong_password",
    "no_access_point",
    "wifi_lost",
    "no_address",
    "name_lookup",
    "connect_failed",
    "tls_failed",
    "refused",
    "ping_lost",
    "closed",
    "timeout",
    "protocol",
)


def faults(bits: int) -> list[str]:
    """Return the names of the bits that are set; one that this relay does not know is `bit` and its number."""
    here = [bit for bit in range(bits.bit_length()) if bits >> bit & 1]
    return [FAULTS[bit].name if bit < len(FAULTS) else f"bit {bit}" for bit in here]


def explained(found: Iterable[str]) -> list[Fault]:
    """Return what is known of these faults, in the order of their bits."""
    wanted = set(found)
    known = [fault for fault in FAULTS if fault.name in wanted]
    unknown = sorted(wanted - {fault.name for fault in known})
    return known + [Fault(name, "A fault that this relay does not know yet.", "Update the relay.") for name in unknown]


def link_reason(number: int) -> str:
    """Return why a connection ended."""
    return LINK_REASONS[number] if number < len(LINK_REASONS) else f"reason {number}"
