"""XIDs: what the table says, what the kernel's log says, and that none counts twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.gpu.kernel_log import KernelLog, KernelXid, parse_line
from drivers.gpu.merging import Source, XidMerge
from drivers.gpu.pci import pci_address
from drivers.gpu.xid import Action, BadTable, Severity, Who, load_table
from drivers.sim.nvml.kernel import xid_message

TABLE = load_table()
GPU, OTHER = "0000:3b:00.0", "0000:5e:00.0"


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "severity", "action", "quarantine"),
    [
        (79, Severity.FATAL, Action.REBOOT, True),
        (48, Severity.FATAL, Action.RESET, True),
        (64, Severity.FATAL, Action.RESET, True),
        (95, Severity.FATAL, Action.RESET, True),
        (119, Severity.FATAL, Action.RESET, True),
        (120, Severity.FATAL, Action.RESET, True),
        (74, Severity.ERROR, Action.CHECK_LINKS, True),
        (13, Severity.ERROR, Action.RESTART_JOB, False),
        (31, Severity.ERROR, Action.RESTART_JOB, False),
        (94, Severity.ERROR, Action.RESTART_JOB, False),
        (130, Severity.ERROR, Action.RESTART_JOB, False),
        (63, Severity.WARNING, Action.MAINTENANCE, False),
        (92, Severity.WARNING, Action.MAINTENANCE, False),
        (154, Severity.WARNING, Action.ASK_DRIVER, False),
        (45, Severity.INFO, Action.CORRELATE, False),
        (43, Severity.INFO, Action.NONE, False),
        (54, Severity.FATAL, Action.CHECK_POWER, True),
        (142, Severity.FATAL, Action.CONTACT_VENDOR, True),
        (9999, Severity.WARNING, Action.NONE, False),
    ],
)
def test_what_a_code_leads_to(
    code: int, severity: Severity, action: Action, quarantine: bool
) -> None:
    meaning = TABLE.of(code)
    assert (meaning.severity, meaning.action, meaning.quarantine) == (severity, action, quarantine)


def test_what_is_fatal_takes_the_gpu_out_of_use_and_the_reverse() -> None:
    for code, meaning in TABLE.meanings.items():
        if meaning.severity is Severity.FATAL:
            assert meaning.quarantine, code
        if meaning.action in (Action.NONE, Action.RESTART_JOB, Action.CORRELATE):
            assert not meaning.quarantine, code
        assert len(meaning.title) < 80


def test_an_operator_lays_a_table_over_it(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'version = 1\n[xid.109]\naction = "restart_job"\nquarantine = false\n'
        '[xid."800-801"]\ntitle = "ours"\nwho = "host"\n[default]\naction = "maintenance"\n'
    )
    table = load_table(own)
    assert (table.of(109).action, table.of(109).quarantine) == (Action.RESTART_JOB, False)
    assert table.of(109).title == TABLE.of(109).title  # what it does not name stays
    assert (table.of(801).title, table.of(801).who) == ("ours", Who.HOST)
    assert table.of(79) == TABLE.of(79)
    assert table.of(12345).action is Action.MAINTENANCE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = 2", "version 2; this program reads 1"),
        ("[xid.79]\naction = 'reboot'", "version"),
        ("version = 1\n[xid.79]\naction = 'explode'", r"xid.79.*explode"),
        ("version = 1\n[xid.79]\nactoin = 'reset'", r"xid.79.*actoin"),
        ("version = 1\n[xid.seven]\ntitle = 'x'", "xid.seven: a code is a number"),
        ("version = 1\n[xid.'9-1']\ntitle = 'x'", "xid.9-1"),
        ("version = 1\n[xid.'1-99999']\ntitle = 'x'", "xid.1-99999"),
        ("version = 1\n[xid.777]\naction = 'reset'", r"xid.777.*title"),
        ("version = ", "own.toml"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, words: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(BadTable, match=words):
        load_table(own)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match=r"nothing.toml: No such file"):
        load_table(tmp_path / "nothing.toml")


# --- the kernel's log ----------------------------------------------------------------------------

LINES = {
    "NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception "
    "on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter": KernelXid(
        pci_address="0000:cb:00.0",
        xid=13,
        message="Graphics SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter",
    ),
    "NVRM: Xid (PCI:0000:00:07): 31, pid=2512125, name=python3.10, Ch 00000008, intr 0": KernelXid(
        pci_address="0000:00:07.0",
        xid=31,
        message="Ch 00000008, intr 0",
        pid=2512125,
        process="python3.10",
    ),
    "[24128.828315] NVRM: Xid (PCI:0000:01:00): 32, Channel ID 00000000 intr 00004000": KernelXid(
        pci_address="0000:01:00.0", xid=32, message="Channel ID 00000000 intr 00004000"
    ),
    "NVRM: Xid (0000:01:00): 79, GPU has fallen off the bus.": KernelXid(
        pci_address="0000:01:00.0", xid=79, message="GPU has fallen off the bus."
    ),
    "NVRM: Xid (PCI:0000:b6:00 GPU-I:05): 94, pid=1, name=a b, Contained": KernelXid(
        pci_address="0000:b6:00.0",
        xid=94,
        message="Contained",
        pid=1,
        process="a b",
        gpu_instance=5,
    ),
    "NVRM: Xid (PCI:0000:1b:00): 154, pid='<unknown>', name=<unknown>, GPU recovery action changed "
    "from 0x0 (None) to 0x1 (GPU Reset Required)": KernelXid(
        pci_address="0000:1b:00.0",
        xid=154,
        message="GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
        recovery_action=1,
    ),
    "NVRM: Xid (PCI:0019:01:00): 149, NETIR Fatal XC0 i0 Link -1 (0x000fe406)": KernelXid(
        pci_address="0019:01:00.0",
        xid=149,
        message="NETIR Fatal XC0 i0 Link -1 (0x000fe406)",
    ),
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:50])
def test_lines_as_drivers_write_them(line: str) -> None:
    assert parse_line(line) == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "NVRM: GPU at PCI:0000:00:05: GPU-efbdfde9-5798-a6e7-4c46-12518fa15375",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.183.01",
        "NVRM: Xid (PCI:0000:01:00)",
        "NVRM: Xid (nowhere): 13, x",
        "nvidia-nvswitch0: SXid (PCI:0000:87:00.0): 20034, Fatal, Link 28 LTSSM Fault Up",
        "somebody wrote Xid (PCI:0000:01:00): 79, to the log",
        "",
    ],
)
def test_lines_that_say_nothing_of_an_xid(line: str) -> None:
    assert parse_line(line) is None
    assert KernelLog().read(line) is None


codes = st.integers(0, 999_999)
buses = st.integers(0, 255)


@given(codes, buses, st.none() | st.integers(1, 2**31 - 1))
def test_what_the_kernel_writes_is_read(code: int, bus: int, pid: int | None) -> None:
    place = f"0000:{bus:02x}:00.0"
    found = parse_line(f"[  1.5] {xid_message(place, code, pid)}")
    assert found is not None
    assert (found.pci_address, found.xid, found.pid) == (place, code, pid)


@given(st.text(max_size=300))
@example("NVRM: Xid (PCI:0000:3b:00): 79" + ", pid=" * 5000)
@example("NVRM: Xid (PCI:" + "0" * 10_000)
@example("NVRM: GPU at " + "0000:" * 5_000)
@example("NVRM: Xid (PCI:0000:3b:00): " + "9" * 5000)
def test_no_text_raises(text: str) -> None:
    log = KernelLog()
    for line in (text, f"NVRM: Xid ({text}): 79, ", f"NVRM: Xid (PCI:0000:3b:00): 79, {text}"):
        parse_line(line)
        log.read(line)


def test_a_gpu_that_falls_off_without_a_code() -> None:
    log = KernelLog()
    assert log.read("NVRM: The NVIDIA GPU 0000:9b:00.0") is None
    assert log.read("NVRM: (PCI ID: 10de:2330) installed in this system has") is None
    found = log.read("NVRM: fallen off the bus and is not responding to commands.")
    assert found is not None
    assert (found.pci_address, found.xid, found.plain) == ("0000:9b:00.0", 79, True)
    found = KernelLog().read("NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.")
    assert found is not None
    assert found.pci_address == "0000:3b:00.0"


def test_words_long_after_an_address_are_not_its() -> None:
    log = KernelLog()
    log.read("NVRM: The NVIDIA GPU 0000:9b:00.0")
    for _ in range(10):
        log.read("e1000e: something else")
    assert log.read("NVRM: fallen off the bus and is not responding to commands.") is None


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("PCI:0000:3b:00", "0000:3b:00.0"),
        ("0000:3b:00.1", "0000:3b:00.1"),
        ("00010000:01:00.0", "00010000:01:00.0"),
    ],
)
def test_addresses_are_one_however_written(written: str, address: str) -> None:
    assert pci_address(written) == address


# --- both together -------------------------------------------------------------------------------

DRIVER, KERNEL = Source.DRIVER, Source.KERNEL_LOG


def counted(*told: tuple[Source, str, int, float]) -> list[bool]:
    merge = XidMerge(TABLE)
    return [merge.is_new(source, gpu, xid, at_s) for source, gpu, xid, at_s in told]


def test_heard_twice_is_one() -> None:
    assert counted((DRIVER, GPU, 79, 100.0), (KERNEL, GPU, 79, 100.1)) == [True, False]
    assert counted((KERNEL, GPU, 79, 100.0), (DRIVER, GPU, 79, 103.0)) == [True, False]


def test_the_same_twice_is_two() -> None:
    assert counted((DRIVER, GPU, 31, 100.0), (DRIVER, GPU, 31, 100.0)) == [True, True]
    assert counted(
        (DRIVER, GPU, 31, 100.0),
        (DRIVER, GPU, 31, 100.1),
        (KERNEL, GPU, 31, 100.0),
        (KERNEL, GPU, 31, 100.1),
        (KERNEL, GPU, 31, 100.2),
    ) == [True, True, False, False, True]


def test_another_gpu_another_code_another_time() -> None:
    assert counted((DRIVER, GPU, 31, 100.0), (KERNEL, OTHER, 31, 100.0)) == [True, True]
    assert counted((DRIVER, GPU, 31, 100.0), (KERNEL, GPU, 43, 100.0)) == [True, True]
    assert counted((DRIVER, GPU, 31, 100.0), (KERNEL, GPU, 31, 160.0)) == [True, True]


def test_many_lines_of_one_exception_are_one() -> None:
    lines = [(KERNEL, GPU, 13, 100.0 + n / 1000) for n in range(50)]
    assert counted(*lines) == [True] + [False] * 49
    assert counted(*lines, (KERNEL, GPU, 13, 110.0))[-1]
    assert counted((DRIVER, GPU, 13, 100.0), *lines) == [True] + [False] * 50


def test_words_without_a_code_beside_a_line_with_one() -> None:
    merge = XidMerge(TABLE)
    assert merge.is_new(KERNEL, GPU, 79, 100.0)
    assert not merge.is_new(KERNEL, GPU, 79, 100.2, plain=True)
    assert merge.is_new(KERNEL, OTHER, 79, 100.2, plain=True)


told = st.tuples(
    st.sampled_from(Source),
    st.sampled_from([GPU, OTHER]),
    st.sampled_from([31, 79]),
    st.floats(0, 1000),
)


@given(st.lists(told, max_size=60).map(lambda each: sorted(each, key=lambda one: one[3])))
def test_it_never_counts_less_than_either_source_nor_more_than_both(
    heard: list[tuple[Source, str, int, float]],
) -> None:
    new = counted(*heard)
    for gpu in (GPU, OTHER):
        for xid in (31, 79):
            mine = [
                (source, is_new)
                for (source, at, code, _), is_new in zip(heard, new, strict=True)
                if (at, code) == (gpu, xid)
            ]
            by_source = [sum(source is each for source, _ in mine) for each in Source]
            total = sum(is_new for _, is_new in mine)
            assert max(by_source, default=0) <= total <= sum(by_source)
