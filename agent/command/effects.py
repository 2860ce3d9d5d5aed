"""What an action came to: the device's words held against its later readings. Pure."""

from __future__ import annotations

from enum import StrEnum

from drivers.actions import Answer, Expectation, Receipt, Seen, is_denied, is_met


class Verdict(StrEnum):
    """How an action on one device ended."""

    VERIFIED = "verified"
    """A later reading shows the effect."""
    VERIFIED_UNANSWERED = "verified_unanswered"
    """The device said nothing, and a later reading shows the effect."""
    REFUSED = "refused"
    """The device, or this agent, said no; nothing shows that it was done all the same."""
    NOT_VERIFIED = "not_verified"
    """No reading showed the effect in time, and none proves that it was refused."""
    CONTRADICTED = "contradicted"
    """The device's words and its readings disagree: an OK without the effect, a no with it."""
    FAILED = "failed"
    """The order could not be sent: nothing was asked of the device."""
    SUPERSEDED = "superseded"
    """Another action on the same device took its place before it was proved."""
    CANCELLED = "cancelled"
    """Not sent: the command was cancelled, or its rollout stopped."""
    EXPIRED = "expired"
    """Not sent: the command's time was over."""
    INTERRUPTED = "interrupted"
    """The agent ended while it was under way, and no reading shows what came of it."""
    WOULD = "would"
    """A dry run: it would be sent."""

    @property
    def good(self) -> bool:
        """True where the effect was seen and fits what the device said."""
        return self in (Verdict.VERIFIED, Verdict.VERIFIED_UNANSWERED)


class Proof:
    """One action waiting for the reading that shows its effect.

    Times are those of one monotonic clock. `before` is a reading (or identity) from before the
    action.
    """

    __slots__ = ("_answer", "_before", "_denied", "_holds_before", "_look_at", "until", "wanted")

    def __init__(self, receipt: Receipt, before: Seen, acted_at: float) -> None:
        if receipt.expectation is None:
            raise ValueError("nothing can prove a receipt without an expectation")
        self.wanted: Expectation = receipt.expectation
        self._answer = receipt.answer
        self._before = before
        self._holds_before = is_met(self.wanted, before, before)
        self._denied = False
        self._look_at = acted_at + self.wanted.look_after_s
        self.until = acted_at + self.wanted.until_s

    @property
    def unanswered(self) -> bool:
        """True where the device said nothing to the order."""
        return self._answer is Answer.UNANSWERED

    @property
    def look_at(self) -> float:
        """When the first look is worth its cost."""
        return self._look_at

    def see(self, after: Seen, at: float) -> Verdict | None:
        """Judge by a reading taken at a moment after the action; None where it settles nothing."""
        if is_met(self.wanted, self._before, after):
            return self._done()
        if at < self._look_at:
            return None
        self._denied = is_denied(self.wanted, self._before, after)
        return Verdict.REFUSED if self._answer is Answer.REFUSED else None

    def end(self) -> Verdict:
        """The verdict where time is up."""
        if self._answer is Answer.REFUSED:
            return Verdict.REFUSED
        if self._denied and self._answer is Answer.ACCEPTED:
            return Verdict.CONTRADICTED
        return Verdict.NOT_VERIFIED

    def _done(self) -> Verdict:
        if self._answer is Answer.UNANSWERED:
            return Verdict.VERIFIED_UNANSWERED
        if self._answer is Answer.REFUSED and not self._holds_before:
            return Verdict.CONTRADICTED
        return Verdict.VERIFIED
