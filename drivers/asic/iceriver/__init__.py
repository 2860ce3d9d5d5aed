"""IceRiver."""
