"""How many reports a second relays accept, on this machine: `make bench-relay`."""
