"""The rows of a measurement as tables for a person."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tools.bench_relay.acceptance import PACED_PER_S

_ACCEPTANCE = ("", "store", "reports/s", "back/s", "p50 ms", "p99 ms", f"at {PACED_PER_S}/s p50", "p99 ms",
               "CPU: relay", "broker", "database", "bytes", "others", "load")  # fmt: skip
_DELIVERY = ("store", "gateway ms", "events/s", "sent again", "CPU: relay", "database", "load")
_BACKLOG = ("events", "sender", "reports/s", "events/s", "load")


def of(part: str, rows: list[dict[str, Any]]) -> Table:
    """Return the table of a part."""
    headings, cells = {
        "delivery": (_DELIVERY, _of_delivery),
        "backlog": (_BACKLOG, _of_backlog),
    }.get(part, (_ACCEPTANCE, _of_acceptance))
    table = Table(title=part)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(str, cells(row)))
    return table


def _of_acceptance(row: dict[str, Any]) -> tuple[Any, ...]:
    full, paced, cpu = row["full_load"], row[f"at_{PACED_PER_S}_per_s"], row["cpu_ms_per_report"]
    return (
        row["processes"], "bare consumer" if row["store"] == "none" else row["store"], row["reports_per_s"],
        row["devices_returned_per_s"], full["p50_ms"], full["p99_ms"], paced["p50_ms"], paced["p99_ms"], cpu["relays"],
        cpu["broker"], cpu["database"], row.get("bytes_per_report", ""), f"{row['cpu_share_of_others']:.0%}",
        row["load"],
    )  # fmt: skip


def _of_delivery(row: dict[str, Any]) -> tuple[Any, ...]:
    cpu = row["cpu_ms_per_event"]
    return (row["store"], row["latency_ms"], row["events_per_s"], row["again"], cpu["relay"], cpu["database"],
            row["load"])  # fmt: skip


def _of_backlog(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["events"], row["sender"], row["reports_per_s"], row["events_per_s"], row["load"]
