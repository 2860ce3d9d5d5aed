"""LuxOS."""
