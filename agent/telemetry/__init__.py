"""From readings to messages: encoding, queueing, inventory and status."""
