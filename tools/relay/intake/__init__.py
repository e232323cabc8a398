"""Brings messages from a broker to the core, and acknowledgments back."""
