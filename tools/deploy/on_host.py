"""The device's own pure modules, on this computer: what is checked here is checked by the code that runs there."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tools.simulator.scenario import ROOT


def module(name: str) -> Any:
    """A pure module of the firmware, e.g. "config"."""
    for folder in (ROOT / "firmware", ROOT / "tools" / "on_host"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"wearmeter.{name}")
