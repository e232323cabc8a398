"""Gives a unit its identity, Wi-Fi, broker and product: one on a port, or a whole fleet as flash images."""
