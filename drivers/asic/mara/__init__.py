"""MARA firmware."""
