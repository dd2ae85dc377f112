import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dicom_io.archives.http import Bearer
from dicom_io.errors import PeerUnreachable
from plugin.upkeep.alarms.channels import Mail, Message, SyslogChannel, Webhook
from plugin.upkeep.syslog import SyslogReceiver
from tests import smtp, syslog
from tests.certificates import Authority
from tests.ports import free_port
from tests.waiting import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGE = Message(
    id=7,
    news="raised",
    cause="disk",
    urgent=True,
    count=2,
    message="no space left – «full»",
    first=NOON,
    last=NOON,
    studies=("study 3",),
    source="ctscribe",
    key="ctscribe.alarm.7.9",
)


def a_mail(port, **options):
    return Mail("team", "127.0.0.1", port, "ctscribe@example.org", ("pacs@example.org",), **options)


def test_a_mail_says_what_is_wrong_in_its_subject():
    box = smtp.Mailbox()
    with smtp.listening(box) as port:
        a_mail(port, security="none").send(MESSAGE)
        eventually(lambda: box.mails)
    (mail,) = box.mails
    assert mail["Subject"] == "[ctscribe] URGENT disk"
    assert mail["Message-ID"] == "<ctscribe.alarm.7.9@example.org>"
    assert mail["To"] == "pacs@example.org"
    text = mail.get_content()
    assert "no space left – «full»" in text
    assert "2 times" in text
    assert "study 3" in text


def test_a_password_goes_over_tls_only_and_to_a_server_that_is_known(tmp_path):
    box, ours = smtp.Mailbox(), Authority(tmp_path / "ours")
    login = {"user": smtp.USER, "password": smtp.PASSWORD, "timeout_s": 5}
    with smtp.listening(box, ours.issue()) as port:
        a_mail(port, tls=ours.client(), **login).send(MESSAGE)
        with pytest.raises(PeerUnreachable, match=r"no TLS with .*authority"):
            a_mail(port, tls=Authority(tmp_path / "other").client(), **login).send(MESSAGE)
        with pytest.raises(PeerUnreachable, match=r"SMTP 535|takes no mail"):
            a_mail(port, tls=ours.client(), **{**login, "password": "wrong"}).send(MESSAGE)
    assert len(box.mails) == 1


def test_a_mail_server_that_is_down_is_one_clear_line():
    with pytest.raises(PeerUnreachable, match=r"127.0.0.1:\d+ does not answer: Connection refused"):
        a_mail(free_port()).send(MESSAGE)


@contextmanager
def hook(status=204):
    """A server that takes JSON; yields its URL and what it was sent."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((dict(self.headers), json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook/secret-1", taken
        server.shutdown()
        thread.join()


def test_a_webhook_gets_the_alarm_as_json_with_its_token():
    with hook() as (url, taken):
        Webhook("chat", url, Bearer("token")).send(MESSAGE)
    ((head, body),) = taken
    assert head["Authorization"] == "Bearer token"
    assert head["Idempotency-Key"] == MESSAGE.key
    assert (body["id"], body["state"], body["urgent"], body["count"]) == (7, "raised", True, 2)
    assert body["first"] == "2026-01-01T12:00:00+00:00"
    assert body["text"].startswith("URGENT disk: no space left")


def test_a_webhook_that_refuses_is_told_without_its_address():
    with hook(status=403) as (url, _), pytest.raises(PeerUnreachable) as refused:
        Webhook("chat", url).send(MESSAGE)
    assert str(refused.value) == "127.0.0.1 refuses the alarm (HTTP 403)"
    assert "secret" not in repr(Webhook("chat", url))


def test_a_webhook_that_is_down_is_told_without_its_address():
    with pytest.raises(PeerUnreachable) as down:
        Webhook("chat", f"http://127.0.0.1:{free_port()}/hook/secret-1").send(MESSAGE)
    assert "secret" not in str(down.value)


def test_a_syslog_message_has_the_severity_of_the_alarm():
    repository = syslog.Repository()
    with syslog.listening(repository) as port:
        channel = SyslogChannel("log", SyslogReceiver("127.0.0.1", port, "tcp"))
        channel.send(MESSAGE)
    (written,) = repository.messages
    assert written.startswith(b"<26>1 2026-01-01T12:00:00.000+00:00 ")  # daemon, critical
    assert b" ALARM - " in written
    assert "URGENT disk: no space left – «full»; 2 times".encode() in written
