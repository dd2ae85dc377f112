import json
from datetime import UTC, datetime

from click.testing import CliRunner

from plugin.cli import main
from plugin.state.database import open_database, session_factory
from plugin.state.kinds import Kind
from plugin.state.tables import Level
from plugin.state.timeline import add_event
from plugin.upkeep.alarms.open_alarms import Alarms
from tests import smtp
from tests.ports import free_port
from tests.waiting import eventually

CHANNEL = """
[[alarms.channels]]
name = "team"
kind = "mail"
host = "127.0.0.1"
port = {port}
security = "none"
sender = "ctscribe@example.org"
to = ["pacs@example.org"]
"""


def run(config, *words):
    return CliRunner().invoke(main, ["alarms", *words, "-c", str(config)])


def test_open_alarms_are_listed_with_their_count(config, tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    assert run(config, "list").output == "no alarm\n"
    sessions = session_factory(engine)
    for _ in range(2):
        with sessions.begin() as session:
            now = datetime.now(UTC)
            add_event(session, Kind.REFUSED, "the disk is full", now=now, level=Level.ALERT)
    Alarms(sessions).look()
    engine.dispose()
    told = run(config, "list")
    assert told.output.startswith("URGENT refused: the disk is full (2 times since ")
    (alarm,) = json.loads(run(config, "list", "--json").output)["alarms"]
    assert (alarm["cause"], alarm["count"], alarm["over"]) == ("refused", 2, None)


def test_no_database_is_begun(config, tmp_path):
    told = run(config, "list")
    assert told.exit_code == 1
    assert "there is no database at" in told.output
    assert list(tmp_path.iterdir()) == [config]


def test_a_test_reaches_every_channel(config):
    box = smtp.Mailbox()
    with smtp.listening(box) as port:
        config.write_text(config.read_text() + CHANNEL.format(port=port))
        told = run(config, "test")
        eventually(lambda: box.mails)
    assert (told.exit_code, told.output) == (0, "team: taken\n")
    assert box.mails[0]["Subject"] == "[ctscribe] ALARM test"


def test_a_test_that_fails_says_why(config):
    config.write_text(config.read_text() + CHANNEL.format(port=free_port()))
    told = run(config, "test")
    assert told.exit_code == 1
    assert "does not answer: Connection refused" in told.output


def test_a_secret_that_is_missing_is_named(config):
    text = CHANNEL.format(port=1).replace('"none"', '"tls"')
    config.write_text(f'{config.read_text()}{text}user = "u"\npassword_env = "NO_SUCH"\n')
    assert "the environment variable NO_SUCH must hold a secret" in run(config, "test").output


def test_without_a_channel_it_says_that_nobody_is_told(config):
    assert "nobody is told" in run(config, "test").output
