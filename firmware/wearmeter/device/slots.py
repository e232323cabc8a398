"""Which firmware runs: /slot names the folder of the one chosen and, after it, one that is not to be tried again.

    slots = Slots("fw_a", check)        # the slot that runs
    slots.switch()                      # True: the other one runs from the next start on

Written by one write of one small file, which littlefs does whole or not at all.
"""

_PATH = "/slot"
_NAMES = ("fw_a", "fw_b")


class Slots:
    """`running`: the slot of this firmware, "" where it is frozen or lies beside main.py. `check(slot)` returns what is
    wrong with a slot's files, "" for nothing. `chosen`, `given_up`: what /slot says."""

    def __init__(self, running, check, path=_PATH):
        self.running = running
        self._check = check
        self._path = path
        self.chosen, self.given_up = read(path)

    def complaint(self):
        """Return what is wrong with the files of the slot that runs: main.py has looked only at those it needed."""
        return self._check(self.running) if self.running else ""

    def settle(self):
        """The slot that runs is not the one that was chosen, which could not be started: choose it from now on.
        Returns whether that was so."""
        if not self.running or self.chosen == self.running:
            return False
        self._write(self.running, self.chosen)
        return True

    def switch(self):
        """Give up the firmware that runs, and choose the other one. False where there is none that is whole, or it has
        been given up itself."""
        for other in _NAMES:
            if self.running and other not in (self.running, self.given_up) and not self._check(other):
                return self._write(other, self.running)
        return False

    def _write(self, chosen, given_up):
        try:
            with open(self._path, "w") as file:
                file.write(chosen + " " + given_up)
        except OSError:
            return False
        self.chosen, self.given_up = chosen, given_up
        return True


def read(path=_PATH):
    """Return (slot chosen, slot given up), "" for none."""
    try:
        with open(path) as file:
            words = file.read(32).split() + ["", ""]
    except (OSError, ValueError):
        return "", ""
    return words[0], words[1]
