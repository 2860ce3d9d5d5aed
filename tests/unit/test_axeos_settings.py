"""What AxeOS is sent, in the keys and kinds that its page shows, and what it says to it."""

from typing import Any

import pytest

from drivers.api import WebReply
from drivers.asic.axeos.orders import words_of
from drivers.asic.axeos.settings import fans, latencies_of, pools, telling
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, OutOfRange, Refused, Unsupported

PLAIN = PoolSetting("stratum+tcp://a.example.com:3333", "w", "p")
TLS = PoolSetting("stratum+ssl://a.example.com:443", "w", "p")


@pytest.mark.parametrize(
    ("info", "percent", "sent"),
    [
        ({"autofanspeed": 1}, 80.4, {"autofanspeed": 0, "fanspeed": 80}),
        ({"autofanspeed": True}, 80.0, {"autofanspeed": False, "fanspeed": 80}),
        ({"autofanspeed": 1, "manualFanSpeed": 5}, 80.0, {"autofanspeed": 0, "manualFanSpeed": 80}),
        ({"autofanspeed": 0, "manualFanSpeed": 5}, None, {"autofanspeed": 1}),
    ],
)
def test_fans_in_the_keys_of_the_page(
    info: dict[str, Any], percent: float | None, sent: dict[str, Any]
) -> None:
    assert fans(info, percent) == sent
    assert [type(value) for value in fans(info, percent).values()] == [
        type(value) for value in sent.values()
    ]


@pytest.mark.parametrize(("shown", "sent"), [(0, 1), (True, True)])
def test_an_encrypted_pool_where_the_page_knows_such(shown: Any, sent: Any) -> None:
    info = {"stratumTLS": shown, "fallbackStratumTLS": shown}
    found = pools(info, [TLS, PLAIN])
    assert (found["stratumTLS"], found["fallbackStratumTLS"]) == (sent, type(sent)(0))
    assert (found["stratumURL"], found["stratumPort"]) == ("a.example.com", 443)


def test_a_page_without_encryption_gets_none() -> None:
    assert not [key for key in pools({}, [PLAIN]) if key.endswith("TLS")]
    with pytest.raises(OutOfRange) as caught:
        pools({}, [TLS])
    assert "'p'" not in str(caught.value)


def test_what_a_page_tells() -> None:
    assert latencies_of(None) == {}
    assert set(latencies_of(telling({}))) == {"reboot"}
    nerd = latencies_of(telling({"shutdown": False, "stratumURL": "", "hostname": "n"}))
    assert set(nerd) == {"reboot", "pause", "resume", "set_pools", "set_hostname"}
    assert latencies_of(telling({"shutdown": 1})) is latencies_of(telling({"shutdown": 0}))


def test_the_devices_own_words() -> None:
    assert words_of(WebReply(200, {}, b'{"message":"Mining paused"}')) == (
        '{"message":"Mining paused"}'
    )
    assert words_of(WebReply(200, {}, b"")) == "HTTP 200"
    for status, error in ((400, Refused), (401, AccessDenied), (404, Unsupported)):
        with pytest.raises(error):
            words_of(WebReply(status, {}, b"Wrong API input"))
