"""Braiins OS, all generations."""
