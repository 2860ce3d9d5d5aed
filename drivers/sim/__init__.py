"""A simulated site that answers on real sockets."""
