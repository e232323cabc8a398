"""Writes what the relay is made of, as CycloneDX 1.6, to build/dist/relay.cdx.json: each package, version and hash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.setup.relay_package import OUT, ROOT


def make(target: Path = OUT / "relay.cdx.json") -> dict[str, Any]:
    """Return the bill of materials, which is then in `target`. Raises subprocess.CalledProcessError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--spec-version", "1.6",
         "--pyproject", ROOT / "pyproject.toml", "--mc-type", "application", "--output-file", target,
         ROOT / "tools" / "relay" / "requirements.txt"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    bill: dict[str, Any] = json.loads(target.read_text())
    return bill


if __name__ == "__main__":
    make()
    print((OUT / "relay.cdx.json").relative_to(ROOT))
