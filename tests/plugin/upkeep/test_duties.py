from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_io.errors import PluginError
from plugin.assembly import run_upkeep
from plugin.settings import load_settings
from plugin.state.running.pulse import processes
from plugin.upkeep.duties import Duty, done
from tests.waiting import eventually


def turns(do: Callable[[], object], enough: Callable[[], bool]) -> None:
    with done([Duty("sweeping", 0.01, do)]):
        eventually(enough)


def test_a_duty_is_done_again_and_again_and_one_that_fails_keeps_no_other_from_its_own() -> None:
    good: list[int] = []

    def fail() -> None:
        raise ValueError("Zebra^Zoe")

    with done([Duty("bad", 0.01, fail), Duty("good", 0.01, lambda: good.append(1))]):
        eventually(lambda: len(good) > 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PluginError("no such study"), "sweeping: no such study"),
        (OSError(13, "Permission denied", "spool/x"), "sweeping: spool/x: Permission denied"),
        (ValueError("Zebra^Zoe"), "sweeping: internal error: ValueError at fail:"),
    ],
)
def test_what_fails_is_said_once_in_one_line_without_a_name(
    caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise error

    caplog.set_level(logging.ERROR, "plugin.upkeep.duties")
    turns(fail, lambda: len(tries) > 3)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(said)
    assert "Zebra" not in line


def test_the_process_lives_until_it_is_stopped(tmp_path: Path) -> None:
    config = tmp_path / "ctscribe.toml"
    config.write_text('[storage]\nspool = "spool"')
    settings, stop = load_settings(config), threading.Event()
    process = threading.Thread(target=run_upkeep, args=(settings, stop))
    process.start()
    try:
        (one,) = eventually(lambda: processes(settings.storage.spool))
        assert (one.part, one.state) == ("upkeep", "alive")
    finally:
        stop.set()
        process.join()
    assert processes(settings.storage.spool) == []
