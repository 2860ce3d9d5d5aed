"""The passwords of devices: which are for whom, in which order, and shown nowhere."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from agent.config.logins import Login, Logins, load
from agent.config.schema import Credentials
from agent.errors import ConfigError
from drivers.api import Credential

SECRET = "hunter2"
DEVICE, ADDRESS, TAGS = "asic-02:00:00:00:00:01", "10.1.2.3", {"hall": "B", "rack": "B7"}


def login(user: str, **values: object) -> Login:
    return Login(user=user, password=SECRET, **values)


ALL = login("all")
RANGE = login("range", addresses=("10.1.0.0/18",))
TAG = login("tag", tags={"hall": "B"})
SINGLE = login("single", devices=(DEVICE,))


def users(*logins: Login) -> list[str]:
    return [each.user for each in Logins(logins).of(DEVICE, ADDRESS, TAGS)]


@pytest.mark.parametrize(
    ("logins", "wanted"),
    [
        ((), []),
        ((ALL,), ["all"]),
        ((ALL, RANGE, TAG, SINGLE), ["single", "tag", "range", "all"]),
        ((SINGLE, TAG, RANGE, ALL), ["single", "tag", "range", "all"]),
        ((ALL, login("other")), ["all", "other"]),
        ((login("other"), TAG, ALL), ["tag", "other", "all"]),
        ((login("both", tags={"hall": "B"}, addresses=("10.1.0.0/18",)), TAG), ["both", "tag"]),
    ],
)
def test_the_most_specific_comes_first_then_the_order_of_the_file(logins, wanted) -> None:
    assert users(*logins) == wanted


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"addresses": ("10.1.2.3",)}, True),
        ({"addresses": ("10.9.0.0/24", "10.1.2.1-10.1.2.9")}, True),
        ({"addresses": ("10.1.64.0/18",)}, False),
        ({"tags": {"hall": "B", "rack": "B7"}}, True),
        ({"tags": {"hall": "B", "rack": "B8"}}, False),
        ({"tags": {"floor": "1"}}, False),
        ({"devices": ("asic-other", DEVICE)}, True),
        ({"devices": ("asic-other",)}, False),
        ({"devices": (DEVICE,), "addresses": ("10.9.0.0/24",)}, False),
        ({"devices": (DEVICE,), "tags": {"hall": "A"}}, False),
        ({"addresses": ("10.1.0.0/18",), "tags": {"hall": "B"}}, True),
        ({"addresses": ("10.1.0.0/18",), "tags": {"hall": "A"}}, False),
    ],
)
def test_all_that_is_said_has_to_fit(values, fits) -> None:
    assert bool(users(login("root", **values))) is fits


def test_a_device_is_given_user_and_password() -> None:
    assert Logins((ALL,)).of(DEVICE, ADDRESS, {}) == (Credential("all", SECRET),)
    assert len(Logins((ALL, TAG))) == 2


# --- the file -------------------------------------------------------------------------------------

GOOD = f"""
[[login]]
addresses = ["10.1.0.0/18"]
user = "root"
password = "{SECRET}"

[[login]]
user = ""
password = ""
"""


def written(directory: Path, text: str) -> Credentials:
    file = directory / "logins.toml"
    file.write_text(text)
    return Credentials(file=str(file))


@pytest.mark.parametrize(
    ("text", "count"), [(GOOD, 2), ("", 0), ("\ufeff" + GOOD, 2), ("# nothing yet\n", 0)]
)
def test_a_file_is_read(tmp_path, text, count) -> None:
    assert len(load(written(tmp_path, text))) == count


def test_without_a_file_there_are_none() -> None:
    assert len(load(None)) == 0


@pytest.mark.parametrize("given", [True, False])
def test_a_credential_of_systemd(tmp_path, monkeypatch, given) -> None:
    (tmp_path / "devices").write_text(GOOD)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if given:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert len(load(Credentials(credential="devices"))) == (2 if given else 0)


BROKEN = {
    "not TOML": f'[[login]]\nuser = "root"\npassword = "{SECRET}" {SECRET}\n',
    "unknown field `passwrod`": f'[[login]]\nuser = "root"\npasswrod = "{SECRET}"\n',
    "missing required field `user`": f'[[login]]\npassword = "{SECRET}"\n',
    "missing required field `password`": f'[[login]]\nuser = "{SECRET}"\n',
    "length <= 128": f'[[login]]\nuser = "root"\npassword = "{SECRET * 20}"\n',
    "length <= 64": f'[[login]]\nuser = "{SECRET * 20}"\npassword = ""\n',
    "Expected `str`, got `array`": f'[[login]]\nuser = "root"\npassword = ["{SECRET}"]\n',
    "Expected `array`": f'login = "{SECRET}"\n',
    "unknown field `logins`": f'[[logins]]\npassword = "{SECRET}"\n',
    "login.addresses": f'[[login]]\nuser = "a"\npassword = "{SECRET}"\naddresses = ["10.1"]\n',
}


@pytest.mark.parametrize("problem", BROKEN)
def test_what_is_wrong_is_said_without_a_password(tmp_path, problem) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, BROKEN[problem]))
    assert problem in str(caught.value)
    assert "logins.toml" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no such file"), (b"\xff\xfe", "not UTF-8 text")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, words) -> None:
    file = tmp_path / "logins.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load(Credentials(file=str(file)))


@pytest.mark.parametrize(
    "shown",
    [
        lambda: repr(ALL),
        lambda: f"{ALL} {[ALL]} {(ALL,)!r}",
        lambda: repr(Logins((ALL,))),
        lambda: repr(Logins((ALL,)).of(DEVICE, ADDRESS, {})),
        lambda: str(Credential("root", SECRET)),
    ],
)
def test_no_password_is_shown(shown) -> None:
    assert SECRET not in shown()
