"""ASIC miners, one file per firmware dialect."""
