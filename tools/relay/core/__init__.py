"""Decides what a message means: pure functions of the device's state and the message, and the wire format."""
