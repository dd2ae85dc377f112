"""The whole service while its rules and its model change: nothing is restarted by hand."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from plugin.assembly import open_sessions
from plugin.feedback.promotion import promote
from plugin.settings import load_settings
from plugin.state.audit import this_person
from plugin.state.clock import now_by
from plugin.state.kinds import Kind
from plugin.state.tables import Event
from plugin.supervisor import CTSCRIBE
from tests.ports import free_port
from tests.waiting import eventually

SETTINGS = """
[receiver]
port = {port}
[storage]
spool = "spool"
[engine]
model = "fake"
[worker]
poll_s = 0.1
[[models]]
name = "other"
model = "fake"
"""
RULE = '[[rules]]\nname = "{}"\nwhen = "{}"\n'
FIRST, SECOND = RULE.format("first", "redraft"), RULE.format("second", "hour > 3")
FAULTY = RULE.format("third", "hours > 3")


@contextmanager
def serving(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        service = subprocess.Popen([*CTSCRIBE, "serve", "-c", str(config)], stderr=file)
        try:
            yield service
        finally:
            service.terminate()
            service.wait()


def test_rules_and_model_change_while_the_service_runs(tmp_path):
    config, log = tmp_path / "ctscribe.toml", tmp_path / "log"
    base = SETTINGS.format(port=free_port())
    config.write_text(base + FIRST)
    with serving(config, log) as service:
        assert eventually(lambda: (tmp_path / "spool" / "ctscribe.db").exists(), 60)
        sessions = open_sessions(load_settings(config))

        def told(kind: Kind) -> list[str]:
            with sessions() as session:
                of_kind = select(Event.message).where(Event.kind == kind).order_by(Event.id)
                return list(session.scalars(of_kind))

        def last(kind: Kind, said: str) -> bool:
            return said in "".join(told(kind)[-1:])

        assert eventually(lambda: last(Kind.RULES_CHANGED, ": first"), 60)
        config.write_text(base + SECOND)
        assert eventually(lambda: last(Kind.RULES_CHANGED, ": second; new: second; gone: first"))
        config.write_text(base + FAULTY)
        assert eventually(lambda: last(Kind.RULES_REFUSED, "did you mean hour?"))
        service.send_signal(signal.SIGHUP)  # read again: still faulty, and told once
        config.write_text(base + FIRST)
        assert eventually(lambda: last(Kind.RULES_CHANGED, ": first; new: first; gone: second"))
        assert len(told(Kind.RULES_REFUSED)) == 1
        promote(sessions, "other", now_by(sessions), this_person())
        assert eventually(lambda: "another model was promoted" in log.read_text())
        assert eventually(lambda: log.read_text().count(": work -c") == 2)
        assert service.poll() is None
        sessions.kw["bind"].dispose()
