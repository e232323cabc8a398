"""Words for the numbers that devices send; a test compares them with the firmware's own."""

from __future__ import annotations

FAULTS = (
    "copy_damaged",
    "ledger_lost",
    "write_failed",
    "input_stuck",
    "button_stuck",
    "config_bad",
    "outbox_lost",
    "clock_refused",
    "message_refused",
    "input_noisy",
    "crashed",
    "safe_mode",
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
    return [FAULTS[bit] if bit < len(FAULTS) else f"bit {bit}" for bit in range(bits.bit_length()) if bits >> bit & 1]


def link_reason(number: int) -> str:
    """Return why a connection ended."""
    return LINK_REASONS[number] if number < len(LINK_REASONS) else f"reason {number}"
