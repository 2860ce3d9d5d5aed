"""Where the fake GPUs of a demo come from."""

PROGRAM = "drivers.sim.nvml"
"""The module that makes them and lets them live: `python -m PROGRAM DIRECTORY`."""
