"""Figures, measured anew: make bench."""
