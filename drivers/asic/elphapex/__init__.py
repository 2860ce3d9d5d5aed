"""Elphapex."""
