"""Innosilicon."""
