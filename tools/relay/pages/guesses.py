"""Slows down who guesses tokens: after BURST wrong ones from an address, one more each EACH_S, right or wrong.

Cookies are not guessed (they are signed with the token), so who is signed in stays so. An IPv6 address stands for its
network of /64, which one household or machine has to itself.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
EACH_S = 6.0
ADDRESSES = 4096
"""Those that are remembered, the latest guessers."""


class TooManyGuesses(Exception):
    """Nothing that comes from there is looked at for `after_s`."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"too many wrong tokens; again in {after_s:.0f} s")
        self.after_s = after_s


class Guesses:
    """Counts wrong tokens by address. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._even_at: OrderedDict[str, float] = OrderedDict()  # when the address may guess BURST times again

    def check(self, address: str) -> None:
        """Raises TooManyGuesses."""
        ahead_s = self._even_at.get(_network(address), 0.0) - self._now() - (BURST - 1) * EACH_S
        if ahead_s > 0:
            raise TooManyGuesses(ahead_s)

    def wrong(self, address: str) -> None:
        """A token from there was wrong."""
        network = _network(address)
        self._even_at[network] = max(self._even_at.get(network, 0.0), self._now()) + EACH_S
        self._even_at.move_to_end(network)
        if len(self._even_at) > ADDRESSES:
            self._even_at.popitem(last=False)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
