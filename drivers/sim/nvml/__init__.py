"""A fake libnvidia-ml.so.1: GPUs that the real Python binding reads, and a hand to steer them."""
