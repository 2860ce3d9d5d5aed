"""Canaan Avalon."""
