"""Structured logs: one event and its fields a line, JSON unless a terminal reads them.

No token, customer id or claim code is ever a field; a device's id is.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_ALL = (structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True))


def logger(name: str) -> Any:
    """Return a logger whose calls are an event and fields: log.warning("kept aside", device=..., reason=...)."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        # What is not logged is dropped first: a debug line that nobody sees would cost 20 us a message otherwise.
        processors=[
            structlog.stdlib.filter_by_level,
            *_ALL,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        cache_logger_on_first_use=True,
    )


def configure(level: str = "info") -> None:
    """Send what this process logs from `level` on to its standard error."""
    look: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if sys.stderr.isatty():
        look = structlog.dev.ConsoleRenderer(repr_native_str=True)  # what a device said cannot move the cursor
    steps = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, look]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_ALL, processors=steps))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
