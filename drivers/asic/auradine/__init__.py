"""Auradine Teraflux."""
