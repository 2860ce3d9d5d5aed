"""PCI addresses, which everybody writes in another way. Pure."""

from __future__ import annotations


def pci_address(written: str) -> str:
    """As the kernel's /sys has it: `00000000:3B:00.0` and `PCI:0000:3b:00` are `0000:3b:00.0`."""
    domain, _, rest = written.lower().removeprefix("pci:").partition(":")
    if not domain[:-4].strip("0"):
        domain = domain[-4:]
    return f"{domain}:{rest}" if "." in rest else f"{domain}:{rest}.0"
