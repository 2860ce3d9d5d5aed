"""What reaches the journal or stderr, and that nothing of it can hurt."""

import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import log as logs

logger = logging.getLogger("stoker.test")


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Leave the root logger as it was found, its capturing handlers aside."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def handler(tmp_path: Path) -> logs.JournalHandler:
    handler = logs.JournalHandler(str(tmp_path / "journal"))
    logging.getLogger().addHandler(handler)
    logs.set_level("debug")
    return handler


def fields(datagram: bytes) -> dict[str, str]:
    """The fields of an entry, read as the journal reads them."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, assigned, value = line.partition(b"=")
        if not assigned:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


Said = Callable[[], list[str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """The lines on stderr since last asked."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return lines


# --- the journal -------------------------------------------------------------------------


def test_fields_arrive(journal: socket.socket, handler: logs.JournalHandler) -> None:
    extra = {"device": "asic-1", "command": "c-7", "reason": "expired", "nothing": None}
    logger.warning("refused %s", "it", extra=extra)
    entry = fields(journal.recv(65_536))
    assert entry["MESSAGE"] == "refused it"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "stoker"
    assert entry["LOGGER"] == "stoker.test"
    assert entry["CODE_FUNC"] == "test_fields_arrive"
    assert (entry["DEVICE_ID"], entry["COMMAND"], entry["REASON"]) == ("asic-1", "c-7", "expired")
    assert "NOTHING" not in entry


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, "2"), (logging.ERROR, "3"), (logging.INFO, "6"), (logging.DEBUG, "7")],
)
def test_levels(
    journal: socket.socket, handler: logs.JournalHandler, level: int, priority: str
) -> None:
    logger.log(level, "x")
    assert fields(journal.recv(65_536))["PRIORITY"] == priority


def test_nobody_forges_a_field(journal: socket.socket, handler: logs.JournalHandler) -> None:
    logger.info("said: %s", "ok\nPRIORITY=0", extra={"device": "x\nMESSAGE=y", "priority": 0})
    entry = fields(journal.recv(65_536))
    assert entry["MESSAGE"] == "said: ok\nPRIORITY=0"
    assert entry["DEVICE_ID"] == "x\nMESSAGE=y"
    assert entry["PRIORITY"] == "6"


def test_a_traceback_follows_the_message(
    journal: socket.socket, handler: logs.JournalHandler
) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed")
    message = fields(journal.recv(65_536))["MESSAGE"]
    assert message.startswith("failed\nTraceback")
    assert message.endswith("ValueError: why")


def test_a_huge_message_is_cut(journal: socket.socket, handler: logs.JournalHandler) -> None:
    logger.info("x" * 10_000_000)
    assert 10_000 < len(fields(journal.recv(1 << 20))["MESSAGE"]) < 100_000


def test_without_a_journal_nothing_is_raised_and_losses_are_said(
    tmp_path: Path, handler: logs.JournalHandler
) -> None:
    logger.info("one")
    logger.info("two")
    assert handler.lost == 2
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        logger.info("three")
        loss = fields(sock.recv(65_536))
        assert loss["MESSAGE"].startswith("2 log entries before this one were lost")
        assert loss["PRIORITY"] == "4"
        assert fields(sock.recv(65_536))["MESSAGE"] == "three"
    assert handler.lost == 0


def test_a_journal_that_hangs_does_not_stop_the_agent(
    journal: socket.socket, handler: logs.JournalHandler
) -> None:
    for number in range(5000):  # nobody reads: the socket's queue fills
        logger.info("entry %d", number)
    assert handler.lost > 0


def test_words_that_do_not_fit_are_reported_not_raised(
    journal: socket.socket, handler: logs.JournalHandler, said: Said
) -> None:
    # straight to the handler: pytest's own, beside it, does raise
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))
    assert "--- Logging error ---" in said()


# --- a line of text ----------------------------------------------------------------------


def test_a_line(said: Said) -> None:
    logs.set_up("info")
    logger.info("state is now %s", "mining", extra={"device": "asic-1", "words": 'says "no"'})
    (line,) = said()
    at, rest = line.split(" ", 1)
    assert at.endswith("Z")
    assert len(at) == len("2026-01-01T00:00:00.000Z")
    assert rest == r'info stoker.test state is now mining device=asic-1 words="says \"no\""'


def test_nobody_forges_a_line(said: Said) -> None:
    logs.set_up("info")
    logger.info("said %s", "a\n2026 error\x1b[31m", extra={"device": "b\rc"})
    (line,) = said()
    assert line.endswith(r'said a\n2026 error\u001b[31m device="b\rc"')


def test_plain_words_of_other_languages_stay_readable(said: Said) -> None:
    logs.set_up("info")
    logger.info("Lüfter steht", extra={"words": "Lüfter steht"})
    assert said()[0].endswith('Lüfter steht words="Lüfter steht"')


def test_an_exception_is_one_line(said: Said) -> None:
    logs.set_up("info")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed")
    (line,) = said()
    assert r"failed trace=" in line
    assert line.endswith('ValueError: why"')


def test_levels_are_held_and_changed(said: Said) -> None:
    logs.set_up("warning")
    logger.info("no")
    logs.set_level("debug")
    logger.debug("yes")
    assert [line.split(" ", 3)[3] for line in said()] == ["yes"]


def test_setting_up_twice_does_not_say_all_twice(said: Said) -> None:
    logs.set_up("info")
    logs.set_up("info")
    logger.info("once")
    assert len(said()) == 1


# --- which of the two --------------------------------------------------------------------


def test_only_a_stderr_that_is_the_journal_s_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert logs.writes_to_journal(stream)
        assert not logs.writes_to_journal(other)
        assert not logs.writes_to_journal(io.StringIO())
        assert not logs.writes_to_journal(None)
        monkeypatch.setattr(sys, "stderr", stream)
        logs.set_up("info")
        assert isinstance(logging.getLogger().handlers[0], logs.JournalHandler)
        monkeypatch.setenv("JOURNAL_STREAM", "nonsense")
        assert not logs.writes_to_journal(stream)
