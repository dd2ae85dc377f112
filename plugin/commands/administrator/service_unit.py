"""`ctscribe service-unit`: the service under systemd, with no more rights than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from sqlalchemy import make_url

from plugin.settings import Settings
from plugin.supervisor import CTSCRIBE, PATIENCE_S

PARTS = {
    "serve": "receiver, worker, delivery, upkeep, and what else the settings enable",
    "receive": "the DICOM receiver",
    "work": "a worker",
    "deliver": "delivery",
    "upkeep": "what looks after the service",
    "web": "the reading room and DICOMweb",
    "engine": "the model as an HTTP server",
}
# What systemd waits for beyond the time that a part needs to end: then it kills
MARGIN_S = 15
# Ports below this one are the system's own
FIRST_FREE_PORT = 1024
# Protecting the clock closes all devices, too
NO_DEVICES = "PrivateDevices=yes\nProtectClock=yes"
RELOAD = "# Changed rules are taken up\nExecReload=/bin/kill -HUP $MAINPID"
A_GPU = "# Devices stay open: the model may run on a GPU"


def unit(part: str, config: Path, settings: Settings, *, user: str, secrets: Path) -> str:
    """Write the unit of a part of the service.

    Parameters
    ----------
    part : str
        serve, receive, work, deliver, upkeep, web or engine.
    config : Path
        The settings file that the part is started with.
    settings : Settings
        What stands in it: where the part writes, on which port it listens.
    user : str
        The system user that it runs as.
    secrets : Path
        The file of the environment variables that the settings name.
    """
    command = (*CTSCRIBE, part, "-c", str(config.resolve()))
    named = _secrets(settings)
    return Template(
        (files("plugin.commands.administrator") / "service.unit").read_text("utf-8")
    ).substitute(
        name="ctscribe" if part == "serve" else f"ctscribe-{part}",
        what=PARTS[part],
        user=user,
        command=" ".join(_quoted(word.replace("$", "$$")) for word in command),
        reload=RELOAD if part in ("serve", "work") else "# It has no rules to read again",
        # With a dash, systemd starts without the file, too
        secrets=f"{'' if named else '-'}{secrets}",
        secrets_comment=f"It sets {', '.join(named)}" if named else "The settings name no secret",
        writable=" ".join(_quoted(str(path)) for path in _written(settings)),
        capabilities="CAP_NET_BIND_SERVICE" if _port(part, settings) < FIRST_FREE_PORT else "",
        devices=NO_DEVICES if part == "receive" else A_GPU,
        stop_s=MARGIN_S + (settings.engine_server.drain_s if part == "engine" else PATIENCE_S),
    )


def _quoted(word: str) -> str:
    """Quote a word for systemd, which expands % and splits at spaces."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _secrets(settings: Settings) -> list[str]:
    """Return the environment variables that the settings name."""
    return sorted(set(_named(settings.model_dump())))


def _named(table: Any) -> Iterator[str]:
    """Yield what keys that end with `_env` hold, at any depth."""
    if isinstance(table, list | tuple):
        for one in table:
            yield from _named(one)
    elif isinstance(table, dict):
        for key, value in table.items():
            if key.endswith("_env") and value is not None:
                yield value
            else:
                yield from _named(value)


def _written(settings: Settings) -> list[Path]:
    """Return the folders that the service writes; systemd needs them to exist."""
    folders = [settings.storage.spool.resolve()]
    database = make_url(settings.storage.database_url)
    if database.get_backend_name() == "sqlite" and database.database:
        folders.append(Path(database.database).resolve().parent)
    return list(dict.fromkeys(folders))


def _port(part: str, settings: Settings) -> int:
    """Return the port that a part listens on; one that listens on none needs no right to."""
    if part in ("work", "deliver", "upkeep"):
        return FIRST_FREE_PORT
    listening = {"engine": settings.engine_server.port, "web": settings.web.port}
    return listening.get(part, settings.receiver.port)
