"""Orders to Avalons that no simulated machine stands for: clocks, old breeds, machines at home."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.actions import Answer, Receipt
from drivers.asic.avalon import kinds
from drivers.asic.avalon.driver import Avalon
from drivers.asic.avalon.kinds import Kind, kind_of
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import OutOfRange
from tests.replay import Replay

HERE = Path(__file__).parents[1] / "fixtures" / "asic"
OK = {"STATUS": [{"STATUS": "S", "When": 1, "Code": 119, "Msg": "ASC 0 set OK"}]}


def status(letter: str, code: int, words: str) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": letter, "When": 1, "Code": code, "Msg": words}]}


def unknown(option: str) -> dict[str, Any]:
    return status("E", 120, f"ASC 0 set failed: Unknown option: {option}")


class Told(Replay):
    """A replay that also notes what `ascset` was told."""

    def __init__(self, recording: Any) -> None:
        super().__init__(recording)
        self.told: list[str] = []

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        body = json.loads(request)
        if body["command"] == "ascset":
            self.told.append(body["parameter"])
        return await super().exchange(address, port, request, **limits)


async def told(name: str, **answers: Any) -> tuple[Told, Avalon]:
    recording = json.loads((HERE / f"avalon-{name}.json").read_text())
    recording["rpc"] |= {f"ascset|0,{option}": each for option, each in answers.items()}
    replay = Told(recording)
    driver = Avalon(replay.endpoint, replay.context())
    await driver.identify()
    return replay, driver


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("Avalon 741", kinds.OLD),
        ("Avalon 921", kinds.OLD),
        ("Avalon 1047", kinds.A_SERIES),
        ("Avalon 1166 Pro", kinds.A_SERIES),
        ("Avalon 1566", kinds.A_SERIES),
        ("Avalon 15-215", kinds.A_SERIES),
        ("Avalon 6", kinds.UNKNOWN),
        ("Avalon 3", kinds.UNKNOWN),
        ("Avalon Q", kinds.Q),
        ("Avalon Mini 3", kinds.MINI_3),
        ("Avalon Nano 3S", kinds.NANO_3S),
        ("Avalon Nano 3", kinds.NANO_3),
        (None, kinds.UNKNOWN),
    ],
)
def test_the_family_is_known_by_the_model(model: str | None, kind: Kind) -> None:
    assert kind_of(model) is kind


async def test_before_anything_is_known_nothing_can_be_done() -> None:
    replay = Replay(json.loads((HERE / "avalon-1246-mining.json").read_text()))
    driver = Avalon(replay.endpoint, replay.context())
    assert capabilities(driver) == {}
    await driver.read()
    assert "pause" in capabilities(driver)


async def test_a_nano_3s_has_no_soft_off_and_its_modes_are_set() -> None:
    replay, driver = await told("nano3s-starting", **{"workmode,set,0": OK})
    assert set(capabilities(driver)) == {"reboot", "set_mode", "set_fan_duty"}
    receipt = await driver.set_mode("low")
    assert (receipt.answer, replay.told) == (Answer.ACCEPTED, ["0,workmode,set,0"])
    with pytest.raises(OutOfRange, match="low, mid, high"):
        await driver.set_mode("eco")


async def test_calibration_does_not_permit_another_mode() -> None:
    words = "ASC 0 set failed: current mode 2 is caling Don't permit switch mode"
    _, driver = await told("nano3s-starting", **{"workmode,set,1": status("E", 120, words)})
    receipt = await driver.set_mode("mid")
    assert receipt.answer is Answer.REFUSED
    assert "caling" in receipt.words


@pytest.mark.parametrize("when", [18_798, 1_790_003_600])
async def test_the_machines_own_clock_decides(when: int) -> None:
    """As in the A10 manual, where it stands at hours since boot, or an hour ahead of ours."""
    replay, driver = await told("1246-mining")
    version = replay.recording["rpc"]["version"]
    version["STATUS"][0]["When"] = when
    key = f"ascset|0,softoff,1:{when + 3}"
    words = f"ASC 0 set info: success softoff:{when + 3}"
    replay.recording["rpc"][key] = status("I", 118, words)
    receipt = await driver.pause()
    assert (receipt.answer, receipt.words) == (Answer.ACCEPTED, words)


async def test_a_machine_without_a_clock_is_told_ours() -> None:
    replay, driver = await told("1246-mining")
    replay.recording["rpc"]["version"]["STATUS"][0].pop("When", None)
    await driver.pause()
    assert replay.told == [f"0,softoff,1:{int(replay.at) + 3}"]


class NoSoftOff(Told):
    """As an A10 of 2019: soft off and on came later."""

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        body = json.loads(request)
        option = str(body.get("parameter", "")).split(",")[1:2]
        if option in (["softoff"], ["softon"]):
            self.told.append(body["parameter"])
            return json.dumps(unknown(option[0])).encode()
        return await super().exchange(address, port, request, **limits)


async def test_without_soft_off_the_boards_lose_their_power_and_a_boot_brings_it_back() -> None:
    recording = json.loads((HERE / "avalon-1246-mining.json").read_text())
    off = status("I", 118, "ASC 0 set info: Power off hash now ...")
    recording["rpc"] |= {"ascset|0,hashpower,0": off, "ascset|0,reboot,0": OK}
    replay = NoSoftOff(recording)
    driver = Avalon(replay.endpoint, replay.context())
    await driver.identify()
    paused, resumed = await driver.pause(), await driver.resume()
    assert [paused.answer, resumed.answer] == [Answer.ACCEPTED] * 2
    assert replay.told[1::2] == ["0,hashpower,0", "0,reboot,0"]
    assert paused.expectation is not None
    assert "power_output_w" in {check.field for check in paused.expectation.any_of[0]}


async def test_an_old_controller_lights_the_lamp_of_every_module() -> None:
    answers = {f"led,{at}-1": OK for at in range(1, 9)}
    replay, driver = await told("841-three", **answers)
    assert set(capabilities(driver)) == {"locate"}
    receipt = await driver.locate(on=True)
    assert receipt.answer is Answer.ACCEPTED
    assert replay.told == ["0,led,1-1", "0,led,2-1", "0,led,3-1"]


async def test_a_note_of_nonsense_is_dropped() -> None:
    replay, driver = await told("1246-mining")
    replay.kept[UNFINISHED] = b"nonsense"
    assert await driver.recover() is None
    assert replay.kept == {}
    assert replay.told == []


async def test_a_broken_answer_that_repeats_a_password_is_not_told() -> None:
    replay, driver = await told("1246-mining")
    words = "setpool|root|root: workerpassword is hush-hush"
    replay.recording["rpc"]["ascset|0,setpool,root,root,0,u,w,hush-hush"] = words
    receipt: Receipt = await driver.set_pools((PoolSetting("u", "w", "hush-hush"),))
    assert receipt.answer is not Answer.ACCEPTED
    assert "hush" not in repr(receipt)


async def test_a_locked_port_is_a_refusal() -> None:
    _, driver = await told("1246-mining")
    receipt = await driver.reboot()  # code 14: this machine does not know ascset
    assert receipt.answer is Answer.REFUSED
