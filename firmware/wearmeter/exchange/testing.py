"""A link whose broker takes everything, for host_tests/ and tools/torture. Not in any bundle."""

from wearmeter.exchange.cbor import decode


class Link:
    """Stands in for network.link.Link. `sent` holds (branch, payload); `works` says whether the broker takes it.

    `nonce` is to be changed for another connection.
    """

    def __init__(self):
        self.online = True
        self.has_wifi = True
        self.nonce = 5
        self.reason = 0
        self.losses = 0
        self.talking = False
        self.works = True
        self.sent = []
        self.on_message = None
        self.on_refused = None

    def step(self, now_ms):
        """As Link.step: nothing is due."""
        return 100

    def publish(self, branch, payload, retain=False):
        """As Link.publish."""
        if self.works:
            self.sent.append((bytes(branch), bytes(payload)))
        return self.works

    def take(self, branch=b"up"):
        """Return what was sent on a branch since the last call, decoded; the description (`about`) as it is."""
        found = [payload if branch == b"about" else decode(payload) for kind, payload in self.sent if kind == branch]
        self.sent = [message for message in self.sent if message[0] != branch]
        return found
