"""Builds build/dist/wearmeter-relay-lambda.zip: the relay and all it imports, for the functions of tools/relay/aws.

The packages are those of tools/relay/requirements.txt, by their hashes, for Lambda's own Python on x86-64.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tools.setup.relay_package import OUT, ROOT, PackageError, build, pip

NAME = "wearmeter-relay-lambda"
PYTHON = "3.12"  # `Runtime` in template.yaml
MOST_BYTES = 262_144_000  # of what Lambda unpacks: 250 MiB


def pack(out: Path = OUT) -> Path:
    """Return the archive. Raises PackageError. Packages are downloaded where pip has not kept them."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder, "wheel"))
        contents = Path(folder, "contents")
        target = ["--target", str(contents), "--python-version", PYTHON, "--only-binary", ":all:"]
        target += ["--no-compile", "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"]
        for wanted in (
            ["--require-hashes", "-r", str(ROOT / "tools/relay/requirements.txt")],
            ["--no-deps", str(wheel)],
        ):
            pip("install", *target, *wanted)
        size = sum(file.stat().st_size for file in contents.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            raise PackageError(f"{size} bytes are more than Lambda takes ({MOST_BYTES})")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.make_archive(str(out / NAME), "zip", contents))


def main() -> int:
    try:
        print(pack().relative_to(ROOT))
    except PackageError as error:
        print(f"wearmeter: the package for AWS: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
