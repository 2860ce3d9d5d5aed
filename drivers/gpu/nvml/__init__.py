"""NVML as the rest sees it. Imported by the child of `stoker-gpu` alone: any call may hang."""
