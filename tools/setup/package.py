"""Writes package.json, by which `mpremote mip install` fetches the package's sources.

python -m tools.setup.package     # after a file of firmware/wearmeter has come or gone
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "package.json"


def contents() -> dict[str, object]:
    """The package's files, each with where it lies in this repository; and what it needs."""
    text = (ROOT / "firmware" / "wearmeter" / "__init__.py").read_text()
    version = re.search(r'^VERSION = "([^"]+)"$', text, re.MULTILINE)
    assert version, "firmware/wearmeter/__init__.py has no VERSION"
    sources = sorted((ROOT / "firmware").glob("wearmeter/**/*.py"))
    return {
        "urls": [[str(path.relative_to(ROOT / "firmware")), str(path.relative_to(ROOT))] for path in sources],
        "deps": [["umqtt.simple", "latest"]],
        "version": version[1],
    }


def main() -> int:
    PACKAGE.write_text(json.dumps(contents(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
