"""The local control socket: what a technician on this host asks the agent."""
