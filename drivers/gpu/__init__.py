"""NVIDIA GPUs: `stoker-gpu`, the process that owns NVML, and what speaks to it."""
