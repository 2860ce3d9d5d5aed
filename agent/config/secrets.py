"""The secrets that the configuration only points to."""

from __future__ import annotations

import os
from pathlib import Path

from agent.config.check import CREDENTIALS
from agent.config.files import read_text
from agent.config.schema import Mqtt
from agent.errors import ConfigError


def mqtt_password(mqtt: Mqtt) -> str | None:
    """The broker's password, or None where none is configured; raises `ConfigError`.

    Reads the file again each time, so that a reconnect picks up a changed password.
    """
    file = _password_file(mqtt)
    if file is None:
        return None
    # the newline that `echo` leaves behind; a password may well end in a space
    password = read_text(file).removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigError(str(file), "", "is empty, expected a password")
    return password


def _password_file(mqtt: Mqtt) -> Path | None:
    if mqtt.password_file:
        return Path(mqtt.password_file)
    if not mqtt.password_credential:
        return None
    directory = os.environ.get(CREDENTIALS)
    if not directory:
        problem = f"needs ${CREDENTIALS}, which systemd sets for LoadCredential= in the unit"
        raise ConfigError("mqtt.password_credential", "", problem)
    return Path(directory, mqtt.password_credential)
