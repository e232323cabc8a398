"""Puts the rooms together, runs them, and sees to it that nothing keeps the device from counting for long."""
