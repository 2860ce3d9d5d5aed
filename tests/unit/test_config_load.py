"""What `load` accepts, refuses and says."""

import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.schema import Config
from agent.errors import ConfigError

SITE = '[site]\nname = "north"\n'


def write(directory: Path, main: str, **drop_ins: str) -> Path:
    """The main file with this text, and conf.d files by their names without `.toml`."""
    file = directory / "stoker.toml"
    file.write_text(main)
    for name, text in drop_ins.items():
        (directory / "conf.d").mkdir(exist_ok=True)
        (directory / "conf.d" / f"{name}.toml").write_text(text)
    return file


def refusal(file: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_site_name_suffices(tmp_path: Path) -> None:
    config = load(write(tmp_path, SITE))
    assert config.site.name == "north"
    assert config.mqtt == Config(site=config.site).mqtt
    assert config.range == ()


def test_all_kinds_of_values_arrive(tmp_path: Path) -> None:
    text = SITE + (
        '[mqtt]\nport = 8883\nreconnect_max_s = 60\n[[range]]\naddresses = "10.1.0.0/24"\n'
        'exclude = ["10.1.0.7"]\nsource_address = "10.9.0.2"\ntags = { hall = "B" }\n'
    )
    config = load(write(tmp_path, text))
    assert config.mqtt.port == 8883
    assert config.mqtt.reconnect_max_s == 60.0
    assert config.range[0].exclude == ("10.1.0.7",)
    assert config.range[0].source_address == IPv4Address("10.9.0.2")
    assert config.range[0].tags == {"hall": "B"}


WRONG = {
    "unknown key": ("[mqtt]\nprot = 1", "mqtt.prot", "unknown key; did you mean port?"),
    "unknown table": ("[mqqt]", "mqqt", "unknown key; did you mean mqtt?"),
    "nothing near": ("[log]\nqqqq = 1", "log.qqqq", "unknown key; known here: level"),
    "odd key": ('[log]\n"a\\nb" = 1', 'log."a\\nb"', "unknown key; known here: level"),
    "wrong type": (
        '[mqtt]\nport = "1883"',
        "mqtt.port",
        "expected a whole number from 1 to 65535, found the string '1883'",
    ),
    "bool is no number": (
        "[mqtt]\nport = true",
        "mqtt.port",
        "expected a whole number from 1 to 65535, found true",
    ),
    "out of range": (
        "[mqtt]\nport = 0",
        "mqtt.port",
        "expected a whole number from 1 to 65535, found the number 0",
    ),
    "not a number at all": (
        "[polling]\ninterval_s = nan",
        "polling.interval_s",
        "expected a number above 0 and at most 86400, found the number nan",
    ),
    "one of few": (
        '[mqtt]\nversion = "4"',
        "mqtt.version",
        'expected one of "3.1.1", "5", found the string \'4\'',
    ),
    "no boolean": (
        "[discovery]\nenabled = 1",
        "discovery.enabled",
        "expected true or false, found the number 1",
    ),
    "date": (
        "[node]\nname = 2026-01-01",
        "node.name",
        "expected a word of up to 64 letters, digits, '.', '_' and '-', "
        "found the date or time 2026-01-01",
    ),
    "scalar for table": ("locations = 5", "locations", "expected a table, found the number 5"),
    "table for array": (
        '[range]\naddresses = "10.0.0.1"',
        "range",
        "expected an array of tables, written [[range]], found a table",
    ),
    "string for array": (
        '[[range]]\naddresses = "10.0.0.0/24"\nexclude = "10.0.0.1"',
        "range[0].exclude",
        "expected an array of strings in [ ], found the string '10.0.0.1'",
    ),
    "inside array": (
        '[[range]]\naddresses = "10.0.0.0/24"\nexclude = ["10.0.0.1", 2]',
        "range[0].exclude[1]",
        "expected a string, found the number 2",
    ),
    "inside tags": (
        '[[range]]\naddresses = "10.0.0.0/24"\ntags = { "a b" = 1 }',
        'range[0].tags."a b"',
        "expected a string, found the number 1",
    ),
    "missing": ("[[range]]\nrpc_port = 1", "range[0].addresses", "missing; expected a string"),
    "no source address": (
        '[[range]]\naddresses = "10.0.0.0/24"\nsource_address = "eth0"',
        "range[0].source_address",
        "expected an IPv4 address, found the string 'eth0'",
    ),
    "not an address": (
        '[[range]]\naddresses = "10.0.0"',
        "range[0].addresses",
        "'10.0.0' is not an IPv4 address",
    ),
    "IPv6": (
        '[[range]]\naddresses = "fd00::/64"',
        "range[0].addresses",
        "'fd00::/64' looks like IPv6; only IPv4 ranges are supported",
    ),
    "too large": (
        '[[range]]\naddresses = "10.0.0.0/8"',
        "range[0].addresses",
        "16777214 addresses, at most 1000000 are allowed",
    ),
    "exclude elsewhere": (
        '[[range]]\naddresses = "10.0.0.0/24"\nexclude = ["10.0.1.1"]',
        "range[0].exclude",
        "exclude '10.0.1.1' is not inside the range",
    ),
    "nothing left": (
        '[[range]]\naddresses = "10.0.0.0/24"\nexclude = ["10.0.0.0/24"]',
        "range[0].exclude",
        "nothing is left after the exclusions",
    ),
    "overlap": (
        '[[range]]\naddresses = "10.0.0.0/24"\n[[range]]\naddresses = "10.0.0.200-10.0.1.9"',
        "range[1].addresses",
        "10.0.0.200-10.0.1.9 overlaps 10.0.0.0/24: both hold 10.0.0.200-10.0.0.254",
    ),
    "reconnect": (
        "[mqtt]\nreconnect_min_s = 300",
        "mqtt.reconnect_min_s",
        "300 s is more than reconnect_max_s = 120",
    ),
    "poll deadline": (
        "[polling]\ninterval_s = 5",
        "polling.deadline_s",
        "5 s must be less than interval_s = 5",
    ),
    "paces of GPUs": (
        "[gpu]\nfast_interval_s = 30",
        "gpu.medium_interval_s",
        "15 s is less than fast_interval_s = 30",
    ),
    "slow before medium": (
        "[gpu]\nmedium_interval_s = 600",
        "gpu.slow_interval_s",
        "120 s is less than medium_interval_s = 600",
    ),
    "fewer GPUs than are named": (
        '[gpu]\nexpected = 1\nexpected_ids = ["gpu-a", "gpu-b"]',
        "gpu.expected",
        "1, and expected_ids names 2",
    ),
    "a GPU twice": (
        '[gpu]\nexpected_ids = ["gpu-a", "gpu-b", "gpu-a"]',
        "gpu.expected_ids[2]",
        "gpu-a stands there twice",
    ),
    "no id of a GPU": (
        '[gpu]\nexpected_ids = ["GPU-A"]',
        "gpu.expected_ids[0]",
        "expected an id as the inventory has it, such as gpu-8f2c6a1e-... in lower case, "
        "found the string 'GPU-A'",
    ),
    "two passwords": (
        '[mqtt]\nusername = "u"\npassword_file = "p"\npassword_credential = "c"',
        "mqtt.password_credential",
        "give either password_file or password_credential, not both",
    ),
    "password of nobody": (
        '[mqtt]\npassword_credential = "c"',
        "mqtt.password_credential",
        "a password needs mqtt.username",
    ),
    "half a key pair": (
        '[mqtt.tls]\nkey_file = "k.pem"',
        "mqtt.tls.key_file",
        "key_file needs cert_file beside it",
    ),
}


@pytest.mark.parametrize(("text", "key", "problem"), WRONG.values(), ids=WRONG)
def test_faults_are_named(tmp_path: Path, text: str, key: str, problem: str) -> None:
    # bare keys must stand before the first table
    file = write(tmp_path, SITE + text if text.startswith("[") else text + "\n" + SITE)
    error = refusal(file)
    assert (error.where, error.key, error.problem) == (str(file), key, problem)


def test_the_site_is_missing(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "[mqtt]\nport = 1"))
    assert (error.key, error.problem) == ("site", "missing; expected a table with name")


def test_a_name_can_not_end_in_a_newline(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, '[site]\nname = "north\\n"')).key == "site.name"


@pytest.mark.parametrize(
    "text", ['password = "hunter2"', 'host = "mqtt://user:hunter2@broker"'], ids=["key", "url"]
)
def test_misplaced_secrets_are_not_repeated(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in str(refusal(write(tmp_path, f"{SITE}[mqtt]\n{text}")))


def test_a_host_name_that_is_no_topic_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "halle#3")
    error = refusal(write(tmp_path, SITE))
    assert error.key == "node.name"
    assert "'halle#3'" in error.problem
    assert load(write(tmp_path, SITE + '[node]\nname = "h3"')).node.name == "h3"


# --- files that are not what they should be ----------------------------------------------


def test_no_file(tmp_path: Path) -> None:
    assert str(refusal(tmp_path / "none.toml")) == f"{tmp_path}/none.toml: no such file"


def test_a_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path).problem == "is a directory, expected a file"


def test_no_toml(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, SITE + "x ="))
    assert error.problem.startswith("bad TOML: Invalid value (at ")


def test_bad_toml_names_its_line(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, SITE + "[mqtt]\nport == 3\n"))
    assert "(at line 4, column 7)" in error.problem


def test_not_utf8(tmp_path: Path) -> None:
    file = write(tmp_path, SITE)
    file.write_bytes(SITE.encode() + b'[mqtt]\nusername = "M\xfcller"')
    error = refusal(file)
    assert (error.key, error.problem) == ("line 4", "not UTF-8 text")


def test_nested_too_deeply(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "x = " + "[" * 5000)).problem == "nested too deeply"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path, SITE)
    file.write_bytes(b"\xef\xbb\xbf" + SITE.encode())
    assert load(file).site.name == "north"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    file = write(tmp_path, SITE)
    file.chmod(0)
    assert refusal(file).problem == "may not be read by this user"


# --- files that the configuration names --------------------------------------------------


def test_relative_paths_start_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("address\n")
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_text("")
    text = (
        '[mqtt.tls]\nca_file = "tls/ca.pem"\n[locations]\nfile = "./places.csv"\n'
        '[node]\nstate_dir = "state"\ncontrol_socket = "/tmp/s"'
    )
    config = load(write(tmp_path, SITE + text))
    assert config.mqtt.tls
    assert config.mqtt.tls.ca_file == f"{tmp_path}/tls/ca.pem"
    assert config.locations
    assert config.locations.file == f"{tmp_path}/places.csv"
    assert config.node.state_dir == f"{tmp_path}/state"
    assert config.node.control_socket == "/tmp/s"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[mqtt]\nusername = "u"\npassword_file = "no"', "mqtt.password_file"),
        ('[mqtt.tls]\nca_file = "no"', "mqtt.tls.ca_file"),
        ('[mqtt.tls]\ncert_file = "no"\nkey_file = "no"', "mqtt.tls.cert_file"),
        ('[locations]\nfile = "no"', "locations.file"),
    ],
)
def test_named_files_must_be_there(tmp_path: Path, text: str, key: str) -> None:
    error = refusal(write(tmp_path, SITE + text))
    assert (error.key, error.problem) == (key, f"{tmp_path}/no: no such file")


def test_a_path_with_a_nul(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, SITE + '[locations]\nfile = "a\\u0000b"'))
    assert error.key == "locations.file"


def test_a_credential_is_looked_for_where_systemd_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, SITE + '[mqtt]\nusername = "u"\npassword_credential = "mqtt"')
    assert load(file).mqtt.password_credential == "mqtt"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert refusal(file).problem == f"{tmp_path}/mqtt: no such file"
    (tmp_path / "mqtt").write_text("secret")
    load(file)


def test_a_table_of_faults_is_looked_at(tmp_path: Path) -> None:
    text = SITE + '[gpu]\nfault_table = "faults.toml"\n'
    file = write(tmp_path, text)
    assert refusal(file).key == "gpu.fault_table"
    (tmp_path / "faults.toml").write_text("version = 2\n")
    assert "version 2" in refusal(file).problem
    (tmp_path / "faults.toml").write_text('version = 1\n[xid.79]\naction = "reset"\n')
    config = load(file)
    assert config.gpu.fault_table == str(tmp_path / "faults.toml")
    assert config.gpu.socket == "/run/stoker-gpu/gpu.sock"


def test_a_driver_of_gpus_may_be_named_where_control_is_allowed(tmp_path: Path) -> None:
    config = load(write(tmp_path, SITE + '[[control.allow]]\ndrivers = ["nvml"]\n'))
    assert config.control.allow[0].drivers == ("nvml",)
