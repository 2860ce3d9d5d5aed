"""The audit as a person reads it. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from agent.store.audit_verify import Fault, Finding, Verdict

MOST_SHOWN = 200

_FAULTS = {
    Fault.ALTERED: "record {seq} was altered",
    Fault.MISSING: "record {seq} is missing",
    Fault.REORDERED: "records were put in another order, from record {seq} on",
    Fault.INSERTED: "something was inserted where record {seq} belongs",
    Fault.FOREIGN: "something that is not the agent's stands where record {seq} belongs",
    Fault.CUT: "the end was cut off: record {seq} and what follows are missing",
    Fault.REWRITTEN: "it was written anew: record {seq} is another one",
}


def tampering(finding: Finding, verdict: Verdict) -> list[str]:
    """What is wrong with an audit, and what to do."""
    where = f"{finding.file}, line {finding.line}" if finding.file else "there is no record"
    in_order = "nothing"
    if verdict.first is not None:
        in_order = f"records {verdict.first} to {verdict.head.seq}"
    return [
        f"TAMPERED: {_FAULTS[finding.fault].format(seq=finding.seq)}",
        f"where: {where}: {finding.words}",
        f"in order: {in_order}; what comes behind was not judged",
        "what now: copy the files away as they are, and find out who was on this host",
    ]


def sentence(record: dict[str, Any], device: str | None = None) -> str:
    """A record in a line; of results for many devices only that of one, where one is asked for."""
    at, content = record["at"][:19].replace("T", " "), record["content"]
    try:
        words = _WORDS.get(record["what"], _other)(content, device)
    except (KeyError, TypeError, AttributeError):  # of another version, or of another hand
        words = _short(json.dumps(content, ensure_ascii=False))
    return f"{at}Z  {record['who']}  {record['what']}: {words}"


def _begun(content: dict[str, Any], _device: str | None) -> str:
    params = content["params"]
    values = f" {json.dumps(params, ensure_ascii=False)}" if params else ""
    many = f"{content['targets']} device{'' if content['targets'] == 1 else 's'}"
    return f"{content['verb']}{values} on {content['target']}, {many} [{content['order']}]"


def _result(content: dict[str, Any], _device: str | None) -> str:
    result = content["result"]
    words = f"{result['device_id']}: {result['verdict']}: {result['words']}"
    return f"{content['verb']} on {words} [{content['order']}]"


def _results(content: dict[str, Any], device: str | None) -> str:
    verdicts = content["devices"]
    order = f" [{content['order']}]"
    if device is None:
        return f"{content['verb']}: {_counts(Counter(verdicts.values()))}{order}"
    words = content.get("words", {}).get(device)
    said = f": {words}" if words else ""
    return f"{content['verb']} on {device}: {verdicts[device]}{said}{order}"


def _ended(content: dict[str, Any], _device: str | None) -> str:
    return f"{content['verb']}: {_counts(content['verdicts'])} [{content['order']}]"


def _lock(content: dict[str, Any], _device: str | None) -> str:
    return f"{content['scope']}, for {content['who']}: {content['reason']}"


def _torn(content: dict[str, Any], _device: str | None) -> str:
    return (
        f"the host or the agent had gone down in mid-write: {content['bytes']} bytes of an"
        f" unfinished record were cut off {content['file']}"
    )


def _lost(content: dict[str, Any], _device: str | None) -> str:
    return (
        f"{content['records']} records from {content['first_at']} to {content['last_at']} are"
        " lost: the disk took nothing for too long"
    )


def _other(content: dict[str, Any], _device: str | None) -> str:
    said = {key: value for key, value in content.items() if value not in (None, {}, [], "")}
    words = ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in said.items()
    )
    return _short(words)


def _short(words: str) -> str:
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]} ..."


def _counts(verdicts: dict[str, int]) -> str:
    most_first = Counter(verdicts).most_common()
    return ", ".join(f"{count} {verdict}" for verdict, count in most_first) or "nothing"


_WORDS: dict[str, Callable[[dict[str, Any], str | None], str]] = {
    "order.begun": _begun,
    "order.result": _result,
    "order.results": _results,
    "order.ended": _ended,
    "lock.set": _lock,
    "lock.cleared": _lock,
    "audit.torn": _torn,
    "audit.lost": _lost,
}
