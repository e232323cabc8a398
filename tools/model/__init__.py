"""The protocol of device, broker, relay and Alexa's tally as a TLA+ specification, and its checks. See README.md."""
