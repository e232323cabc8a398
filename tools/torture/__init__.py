"""Cuts the power everywhere, kills the process at any moment, plays any order of events, and checks the promises."""
