"""Hiveon and MSKMiner: what was built on bmminer with more to say."""
