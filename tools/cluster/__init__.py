"""A cluster of NATS servers, PostgreSQL and relays on loopback, and what it does when one is killed. See README.md."""
