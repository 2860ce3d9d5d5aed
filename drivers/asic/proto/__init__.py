"""Proto Rig."""
