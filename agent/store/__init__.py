"""What survives a restart: the state database of this node."""
