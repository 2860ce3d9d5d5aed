"""What the nodes of a site have said about a command so far. Pure.

Whatever stands on the broker may be anybody's: what is not about this command, byte for byte, or is
of no known form, is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from agent.mqtt.topics import PREFIX, topic_level
from agent.remote.messages import PAGE_DEVICES, CommandState, DeviceResult, ResultPage, State
from agent.remote.reasons import Reason
from agent.remote.roster import MOST_NODES, Roster

DONE, REJECTED, NOT_ALL = 0, 1, 3
"""Exit codes; no answer in time counts as rejected."""
_MOST_PAGES = 10_000
_NOT_CONCERNED = frozenset({Reason.NO_TARGET, Reason.UNKNOWN_COMMAND})
"""None of the devices is there; what is to be approved or cancelled is not."""
_GOOD = frozenset({"verified", "verified_unanswered", "would"})

News = CommandState | ResultPage


class Following:
    """A command on its way."""

    def __init__(self, site: str, command_id: str, digest: str, node: str | None) -> None:
        """`node`: the only one that it is for; None where it is for the whole site."""
        self._root = f"{PREFIX}/{topic_level(site)}"
        self._id = command_id
        self._digest = digest
        self._node = node
        self._roster = Roster("")
        self._results: dict[str, dict[int, _Page]] = {}
        self.states: dict[str, CommandState] = {}
        """The newest of each node that has answered."""
        self.expected: set[str] = {node} if node else set()
        """Nodes that have to answer: the one, or all that were seen online."""

    @property
    def is_for_all(self) -> bool:
        """Whether every node of the site has to answer."""
        return self._node is None

    @property
    def topic(self) -> str:
        """Where the command goes."""
        level = topic_level(self._id)
        to = f"{self._root}/node/{self._node}" if self._node else self._root
        return f"{to}/cmd/{level}"

    @property
    def filters(self) -> tuple[str, ...]:
        """What has to be heard."""
        node = self._node or "+"
        about = f"{self._root}/node/{node}"
        level = topic_level(self._id)
        return (f"{about}/status", f"{about}/cmd/{level}/state", f"{about}/cmd/{level}/results/+")

    # --- what comes in ------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes) -> News | None:
        """Take a message; what is new in it about the command."""
        match topic.removeprefix(f"{self._root}/node/").split("/"):
            case [node, "status"]:
                self._roster.on_status(node, payload)
                if self._node is None:
                    self.expected.update(self._roster.others())
            case [node, "cmd", _, "state"]:
                return self._state(node, payload)
            case [node, "cmd", _, "results", page]:
                return self._page(node, page, payload)
        return None

    def _state(self, node: str, payload: bytes) -> CommandState | None:
        try:
            said = msgspec.json.decode(payload, type=CommandState)
        except (ValueError, RecursionError):
            return None
        before = self.states.get(node)
        if said.id != self._id or said.node != node or said.digest != self._digest:
            return None
        if before is None and len(self.states) >= MOST_NODES:
            return None
        if before is not None and (said.seq < before.seq or said == before):
            return None
        self.expected.add(node)
        self.states[node] = said
        return said

    def _page(self, node: str, level: str, payload: bytes) -> ResultPage | None:
        try:
            said = msgspec.json.decode(payload, type=ResultPage)
        except (ValueError, RecursionError):
            return None
        known = said.id == self._id and said.node == node and str(said.page) == level
        if not known or not 0 <= said.page < _MOST_PAGES or len(said.results) > PAGE_DEVICES:
            return None
        if node not in self.states:  # nothing says yet that it is about these bytes
            return None
        pages = self._results.setdefault(node, {})
        page = _Page(len(said.results), tuple(each for each in said.results if _is_bad(each)))
        if pages.get(said.page) == page:
            return None
        pages[said.page] = page
        return said

    # --- how it stands ------------------------------------------------------------------------

    @property
    def silent(self) -> list[str]:
        """Nodes that have said nothing."""
        return sorted(self.expected - self.states.keys())

    @property
    def open(self) -> list[str]:
        """Nodes that have answered and not ended."""
        return sorted(node for node, said in self.states.items() if not said.state.final)

    @property
    def ended(self) -> bool:
        """Whether every node has said how it ended."""
        return bool(self.expected) and not self.silent and not self.open

    @property
    def complete(self) -> bool:
        """Whether every result has come that was counted as done."""
        return all(
            sum(page.count for page in self._results.get(node, {}).values()) >= said.done
            for node, said in self.states.items()
            if said.pages
        )

    def is_online(self, node: str) -> bool:
        """Whether a node says so."""
        return node in self._roster.others()

    @property
    def targets(self) -> int:
        """Devices meant, as far as nodes have said."""
        return sum(said.targets for said in self.states.values())

    @property
    def done(self) -> int:
        """Devices that have their result."""
        return sum(said.done for said in self.states.values())

    def verdicts(self) -> Counter[str]:
        """Devices by how it ended on them."""
        found: Counter[str] = Counter()
        for said in self.states.values():
            found.update(said.verdicts)
        return found

    def failures(self) -> Iterator[tuple[str, DeviceResult]]:
        """Each device that did not do it, with its node."""
        for node, pages in sorted(self._results.items()):
            for _, page in sorted(pages.items()):
                yield from ((node, each) for each in page.bad)

    def words(self) -> str:
        """What it came to, for people."""
        if not self.expected:
            return "no node is online, as far as this user may hear: nobody has answered"
        if self.silent:
            return f"no answer in time from {', '.join(map(self._with_presence, self.silent))}"
        if self.open:
            return f"not ended in time at {', '.join(map(self._with_presence, self.open))}"
        code = self.exit_code()
        if code == REJECTED:
            reasons = Counter(str(said.reason) for said in self.states.values())
            return f"rejected: {', '.join(f'{reason} ({n})' for reason, n in reasons.items())}"
        counts = ", ".join(f"{count} {name}" for name, count in self.verdicts().most_common())
        how = "succeeded" if code == DONE else "not all of it succeeded"
        return f"{how}: {counts}" if counts else how

    def _with_presence(self, node: str) -> str:
        return node if self.is_online(node) else f"{node} (offline)"

    def exit_code(self) -> int:
        """0: all of it succeeded; 3: not all; 1: it was rejected, or not all have answered."""
        if not self.ended:
            return REJECTED
        concerned = [said for said in self.states.values() if not self._has_no_part(said)]
        if all(said.state is State.REJECTED for said in concerned):
            return REJECTED
        succeeded = all(said.state is State.SUCCEEDED for said in concerned)
        return DONE if succeeded else NOT_ALL

    def _has_no_part(self, said: CommandState) -> bool:
        """Of a command to all nodes it is no failure that one has nothing to do with it."""
        return self._node is None and said.reason in _NOT_CONCERNED


class _Page(msgspec.Struct, frozen=True):
    count: int
    bad: tuple[DeviceResult, ...]


def _is_bad(result: DeviceResult) -> bool:
    return result.verdict not in _GOOD
