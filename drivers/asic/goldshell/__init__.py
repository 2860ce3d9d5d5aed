"""Goldshell."""
