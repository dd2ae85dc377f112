"""The process that looks after the service, with a mail server and an audit repository."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from plugin.assembly import open_sessions, run_upkeep
from plugin.settings import load_settings
from plugin.state.kinds import Kind
from plugin.state.tables import Level
from plugin.state.timeline import add_event
from tests import smtp, syslog
from tests.ports import free_port
from tests.waiting import eventually

SETTINGS = """
[storage]
spool = "spool"
floor_mb = 0

[[alarms.channels]]
name = "gone"
kind = "webhook"
url = "http://127.0.0.1:{gone}/"

[[alarms.channels]]
name = "secret"
kind = "webhook"
url_env = "NO_SUCH_HOOK"

[[alarms.channels]]
name = "team"
kind = "mail"
host = "127.0.0.1"
port = {mail}
security = "none"
sender = "ctscribe@example.org"
to = ["pacs@example.org"]

[[audit.repositories]]
name = "atna"
host = "127.0.0.1"
port = {audit}
transport = "tcp"
"""


def test_an_alert_reaches_the_team_and_the_trail_its_repository(tmp_path):
    """A channel that is down, and one whose secret is missing, keep nobody from being told."""
    box, repository, stop = smtp.Mailbox(), syslog.Repository(), threading.Event()
    with smtp.listening(box) as mail, syslog.listening(repository) as port:
        path = tmp_path / "ctscribe.toml"
        path.write_text(SETTINGS.format(gone=free_port(), mail=mail, audit=port))
        settings = load_settings(path)
        sessions = open_sessions(settings)
        with sessions.begin() as session:
            now = datetime.now(UTC)
            add_event(session, Kind.DAMAGED, "a file is damaged", now=now, level=Level.ALERT)
        running = threading.Thread(target=run_upkeep, args=(settings, stop))
        running.start()
        try:
            eventually(lambda: box.mails and len(repository.messages) >= 2, 60)
        finally:
            stop.set()
            running.join()
    sessions.kw["bind"].dispose()
    assert box.mails[0]["Subject"] == "[ctscribe] ALARM damaged"
    told = b"".join(repository.messages[:2])
    assert b"Software Configuration" in told
    assert b"Application Start" in told
