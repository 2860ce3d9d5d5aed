"""What the kernel's log says of XIDs, and of GPUs that left without one."""

from __future__ import annotations

_WORDS = {
    13: "Graphics Exception: ESR 0x505730=0x20009 0x505734=0x20 0x505728=0xf81eb60 0x50572c=0x1174",
    31: "MMU Fault: ENGINE GRAPHICS GPC1 GPCCLIENT_T1_3 faulted @ 0x7f2b_0e400000. "
    "Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ",
    45: "Ch 00000010",
    48: "An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer",
    63: "Row Remapper: New row marked for remapping, reset gpu to activate.",
    64: "Row Remapper: Failed to remap row",
    74: "NVLink: fatal error detected on link 3(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)",
    79: "GPU has fallen off the bus.",
    94: "Contained: SM (0x1). RST: No, D-RST: No",
    95: "Uncontained: FBHUB. RST: Yes, D-RST: No",
    119: "Timeout after 45s of waiting for RPC response from GPU0 GSP! Expected function 76",
    154: "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
}


def xid_message(pci_bus_id: str, code: int, pid: int | None = None) -> str:
    """The line for an XID, without the log's own time and level.

    `pci_bus_id` is as the kernel writes it, `0000:1b:00.0`.
    """
    place = pci_bus_id.rsplit(".", 1)[0]
    who = f"pid={pid}, name=python3" if pid else "pid='<unknown>', name=<unknown>"
    return f"NVRM: Xid (PCI:{place}): {code}, {who}, {_WORDS.get(code, 'unknown event')}"


def fallen_message(pci_bus_id: str, pci_device: int) -> str:
    """The line for a GPU that does not answer any more; `pci_device` as NVML has it."""
    vendor, device = pci_device & 0xFFFF, pci_device >> 16
    return (
        f"NVRM: The NVIDIA GPU {pci_bus_id} (PCI ID: {vendor:04x}:{device:04x}) installed in "
        "this system has fallen off the bus and is not responding to commands."
    )
