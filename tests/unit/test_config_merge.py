"""How conf.d lies over the main file, and which file an error names."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.errors import ConfigError
from tests.unit.test_config_load import SITE, refusal, write


def test_later_files_win_and_tables_merge(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        SITE + '[mqtt]\nhost = "a"\nport = 1\nkeepalive_s = 20',
        **{"20-b": '[mqtt]\nhost = "c"', "10-a": '[mqtt]\nhost = "b"\nport = 2'},
    )
    mqtt = load(file).mqtt
    assert (mqtt.host, mqtt.port, mqtt.keepalive_s) == ("c", 2, 20)


def test_ranges_append_in_the_order_of_the_files(tmp_path: Path) -> None:
    one = '[[range]]\naddresses = "10.0.{}.0/24"\n'
    file = write(tmp_path, SITE + one.format(1), b=one.format(4), a=one.format(2) + one.format(3))
    found = [each.addresses for each in load(file).range]
    assert found == [f"10.0.{at}.0/24" for at in (1, 2, 3, 4)]


def test_other_names_in_conf_d_are_left_alone(tmp_path: Path) -> None:
    file = write(tmp_path, SITE, **{".#a": "nonsense"})
    (tmp_path / "conf.d" / "a.toml.bak").write_text("nonsense")
    assert load(file).site.name == "north"


def test_the_site_may_come_from_conf_d(tmp_path: Path) -> None:
    assert load(write(tmp_path, "", a=SITE)).site.name == "north"


def test_errors_name_the_file_and_the_place_in_it(tmp_path: Path) -> None:
    good, bad = '[[range]]\naddresses = "10.0.{}.0/24"\n', "rpc_port = 0\n"
    file = write(tmp_path, SITE + good.format(1), a=good.format(2) + good.format(3) + bad)
    error = refusal(file)
    assert error.where == str(tmp_path / "conf.d" / "a.toml")
    assert error.key == "range[1].rpc_port"


def test_an_overridden_value_is_blamed_on_its_last_writer(tmp_path: Path) -> None:
    file = write(tmp_path, SITE + "[mqtt]\nport = 1", a="[mqtt]\nport = 0", b="[mqtt]")
    assert refusal(file).where == str(tmp_path / "conf.d" / "a.toml")


def test_a_repaired_value_is_not_blamed(tmp_path: Path) -> None:
    file = write(tmp_path, SITE + '[mqtt]\nport = "x"', a="[mqtt]\nport = 7")
    assert load(file).mqtt.port == 7


def test_a_value_in_place_of_a_table(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, SITE + "[mqtt]\nport = 1", a="mqtt = 5"))
    assert error.where == str(tmp_path / "conf.d" / "a.toml")
    assert error.problem == "expected a table, found the number 5"


def test_overlap_across_files(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        SITE + '[[range]]\naddresses = "10.0.0.0/24"',
        hall='[[range]]\naddresses = "10.0.0.9"',
    )
    error = refusal(file)
    assert error.where == str(tmp_path / "conf.d" / "hall.toml")
    assert error.key == "range[0].addresses"


def test_a_hole_may_be_another_range(tmp_path: Path) -> None:
    text = (
        '[[range]]\naddresses = "10.0.0.0/16"\nexclude = ["10.0.7.0/24"]\n'
        '[[range]]\naddresses = "10.0.7.0/24"\nrpc_port = 4029'
    )
    assert len(load(write(tmp_path, SITE + text)).range) == 2


@pytest.mark.parametrize("broken", ["file", "directory"])
def test_conf_d_of_the_wrong_sort(tmp_path: Path, broken: str) -> None:
    file = write(tmp_path, SITE)
    if broken == "file":
        (tmp_path / "conf.d").write_text("")
    else:
        (tmp_path / "conf.d" / "a.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="expected a"):
        load(file)
