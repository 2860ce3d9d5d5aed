"""Bitdeer SealMiner."""
