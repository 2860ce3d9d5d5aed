"""Wires: sockets and protocols, without any vendor's meaning."""
