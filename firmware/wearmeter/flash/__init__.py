"""Keeps records through power cuts, damage and a full flash."""
