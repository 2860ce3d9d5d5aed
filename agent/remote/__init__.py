"""What is ordered from afar: signed commands, from their bytes to the report of their end."""
