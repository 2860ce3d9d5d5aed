"""MicroBT Whatsminer, APIs 1 to 3."""
