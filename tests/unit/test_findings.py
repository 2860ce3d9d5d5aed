"""What is wrong in the same way at many devices: counted, and told once."""

from __future__ import annotations

import logging

import pytest

from agent.fleet.findings import FACTORY_PASSWORD, GPU_MISSING, GPU_UNSERVED, Findings

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


@pytest.fixture
def findings() -> Findings:
    return Findings()


OTHERS = {GPU_MISSING: 0, GPU_UNSERVED: 0}


def count(findings: Findings) -> int:
    return findings.counts()[FACTORY_PASSWORD]


def test_where_nothing_was_found_it_is_said_that_it_is_none(findings) -> None:
    assert findings.counts() == {FACTORY_PASSWORD: 0, **OTHERS}


@pytest.mark.parametrize(
    ("logins", "wanted"),
    [
        ([(A, True)], 1),
        ([(A, True), (A, True)], 1),
        ([(A, True), (B, True), (C, True)], 3),
        ([(A, False)], 0),
        ([(A, True), (A, False)], 0),
        ([(A, True), (B, True), (A, False)], 1),
        ([(A, True), (A, False), (A, True)], 1),
        ([(A, True), (B, False)], 1),
    ],
)
def test_devices_are_counted_while_they_open_with_the_factory_s(findings, logins, wanted) -> None:
    for address, factory in logins:
        findings.login(address, factory=factory)
    assert count(findings) == wanted


def test_thousands_are_one_line_of_the_log(findings, caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        for number in range(3000):
            findings.login(f"10.0.{number >> 8}.{number & 255}", factory=True)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.reason == FACTORY_PASSWORD
    assert count(findings) == 3000


def test_when_it_comes_back_after_it_was_put_right_it_is_told_again(findings, caplog) -> None:
    for factory in (True, False, True):
        findings.login(A, factory=factory)
    assert len(caplog.records) == 2


def test_what_was_counted_does_not_change_what_was_given_out(findings) -> None:
    before = findings.counts()
    findings.login(A, factory=True)
    assert before == {FACTORY_PASSWORD: 0, **OTHERS}


def test_what_is_counted_elsewhere_stands_beside_it(findings) -> None:
    findings.set(GPU_MISSING, 2)
    assert findings.counts() == {FACTORY_PASSWORD: 0, GPU_MISSING: 2, GPU_UNSERVED: 0}
