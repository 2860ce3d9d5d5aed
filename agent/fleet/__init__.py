"""The fleet: which devices there are, when each is read, and how it fares."""
