"""An order to a device made into a receipt: what it said, and whether it may have heard at all."""

from __future__ import annotations

from collections.abc import Awaitable

from drivers.actions import Answer, Expectation, Receipt
from drivers.errors import BadReply, DeviceTimeout, OutOfRange, Refused, Unreachable

WORDS_CHARS = 200


async def ordered(order: Awaitable[str], expectation: Expectation | None) -> Receipt:
    """Await the one request that carries the order; it gives the device's words.

    A refusal is REFUSED, still with the expectation: some refuse and obey. Where the request
    left and no usable answer came it is UNANSWERED, since the device may have heard. Raises where
    the request did not leave, and `OutOfRange`. Wrap the writing request alone: what is asked
    before it has to succeed on its own.
    """
    try:
        words = await order
    except OutOfRange:
        raise
    except Refused as error:
        return Receipt(answer=Answer.REFUSED, words=_short(error), expectation=expectation)
    except (DeviceTimeout, Unreachable, BadReply) as error:
        if not error.sent and not isinstance(error, BadReply):
            raise
        return Receipt(answer=Answer.UNANSWERED, words=_short(error), expectation=expectation)
    return Receipt(answer=Answer.ACCEPTED, words=words[:WORDS_CHARS], expectation=expectation)


def _short(error: Exception) -> str:
    return str(error)[:WORDS_CHARS]
