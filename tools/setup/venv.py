"""Makes .venv from tools/setup/requirements.txt, once; the next run finds its stamp and does nothing.

Run by the system's Python, before anything is installed, so it imports the standard library alone and has no f-string:
an old Python, too, gets as far as the line that says what it lacks.
"""

import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 10)
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class SetupError(Exception):
    """Set-up cannot go on; the message is the one line to show."""


def check_prerequisites(version=None):
    """Raises SetupError with one line naming what this machine lacks."""
    version = tuple(version or sys.version_info)[:3]
    if version[:2] < OLDEST:
        raise SetupError(
            "Python %d.%d or newer is needed, and %s is %s (name a newer one: make PYTHON=python3.12 ...)"
            % (OLDEST + (sys.executable, ".".join(str(part) for part in version)))
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "Python's module %r is missing (on Debian and Ubuntu: apt-get install python3-venv)" % error.name
        ) from None


def stamp_text(requirements):
    """What a finished .venv was made from: the requirements' digest, and the Python that made it."""
    with open(requirements, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return "%s python%d.%d %s\n" % (digest, sys.version_info[0], sys.version_info[1], ROOT)


def is_ready(venv_dir, requirements):
    """True if venv_dir was made from just these requirements, by this Python, in this place."""
    try:
        with open(os.path.join(venv_dir, ".ready")) as file:
            found = file.read()
    except OSError:
        return False
    return found == stamp_text(requirements) and os.access(os.path.join(venv_dir, "bin", "python"), os.X_OK)


def run(command, what):
    """Runs a command silently; a failure raises SetupError with the last line of sense it printed."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode == 0:
        return
    lines = [line.strip() for line in result.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith("error")] or lines or ["no word why"]
    raise SetupError("%s failed: %s" % (what, telling[-1]))


def ensure(venv_dir, requirements):
    """Makes or updates venv_dir if it is not ready. Returns True if it had to do something."""
    if is_ready(venv_dir, requirements):
        return False
    stamp = os.path.join(venv_dir, ".ready")
    python = os.path.join(venv_dir, "bin", "python")
    wanted = stamp_text(requirements)
    try:
        with open(stamp) as file:
            same_python = file.read().split()[1:] == wanted.split()[1:]
        os.remove(stamp)
    except OSError:
        same_python = False
    print("wearmeter: making .venv from %s (once, about a minute)" % os.path.relpath(requirements, ROOT), flush=True)
    if not (same_python and os.access(python, os.X_OK)):
        if os.path.isdir(venv_dir):
            shutil.rmtree(venv_dir)
        run([sys.executable, "-m", "venv", venv_dir], "python -m venv")
    # The list is complete, so pip need not resolve anything: --no-deps.
    run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--no-input"]
        + ["-r", requirements],
        "pip install",
    )
    with open(stamp, "w") as file:
        file.write(wanted)
    return True


def main():
    import fcntl

    try:
        check_prerequisites()
        os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
        # Two makes at once (a test run beside a demo) must not both fill the same .venv.
        with open(os.path.join(ROOT, "build", "setup.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ensure(os.path.join(ROOT, ".venv"), os.path.join(HERE, "requirements.txt"))
    except SetupError as error:
        print("wearmeter: set-up: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
