"""Bitaxe and NerdAxe: ESP-Miner and its kin."""
