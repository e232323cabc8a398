"""Wearmeter: counts how long each wearing part of a vacuum cleaner has run, and reports it."""

VERSION = "0.1.0"

# 2026-01-01T00:00:00Z. No device with this firmware can have lived before it: a clock that says less is wrong.
BUILD_UTC_S = 1767225600
