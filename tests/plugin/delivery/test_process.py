"""Delivery in a process of its own: what is drafted leaves while no worker can live."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from plugin.assembly import open_sessions, run_delivery
from plugin.commands.demonstration.archive import running_archive
from plugin.settings import load_settings
from plugin.state.running.pulse import processes
from plugin.state.tables import DeliveryState
from tests.plugin.delivery.drafts import Service
from tests.ports import free_port
from tests.waiting import eventually

SETTINGS = """
[storage]
spool = "spool"
database = "sqlite:///{folder}/ctscribe.db"

[engine]
model = "/no/such/model"

[worker]
poll_s = 0.1

[[destinations]]
name = "pacs"
kind = "dimse"
host = "127.0.0.1"
port = {port}
ae_title = "ARCHIVE"
"""


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_drafts_are_delivered_without_a_worker_and_without_a_model(tmp_path: Path) -> None:
    port, config = free_port(), tmp_path / "ctscribe.toml"
    config.write_text(SETTINGS.format(folder=tmp_path, port=port))
    settings, stop = load_settings(config), threading.Event()
    sessions = open_sessions(settings)
    service = Service(sessions, settings.storage.spool)
    service.draft("pacs")
    process = threading.Thread(target=run_delivery, args=(settings, stop))
    with running_archive(tmp_path / "archive", port=port):
        process.start()
        try:
            eventually(lambda: service.states() == [DeliveryState.PROVED])
            assert [(one.part, one.state) for one in processes(settings.storage.spool)] == [
                ("deliver", "alive")
            ]
        finally:
            stop.set()
            process.join()
    assert processes(settings.storage.spool) == []
    sessions.kw["bind"].dispose()
