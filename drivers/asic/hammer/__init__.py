"""Hammer, blackMiner and VolcMiner."""
