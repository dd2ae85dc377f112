import json
from pathlib import Path

from click.testing import CliRunner

from plugin.cli import main
from plugin.commands.administrator.refusals import REASONS
from plugin.state.database import open_database, session_factory
from plugin.state.kept.refusals import TurnedAway

WORDS = Path("plugin/web/ui/src/pages/admin/words/en.json")


def run(config, *words):
    return CliRunner().invoke(main, ["refusals", *words, "-c", str(config)])


def test_who_was_refused_is_listed_with_the_reason(config, tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    assert run(config).output == "no sender was refused\n"
    away = TurnedAway()
    away.note("CT9", "192.0.2.1", "UnknownSender")
    away.flush(session_factory(engine))
    engine.dispose()
    line = "CT9 at 192.0.2.1  1 time: its AE title is not in the allow-list\n"
    assert run(config).output.endswith(line)
    (told,) = json.loads(run(config, "--json", "--since", "7d").output)["refusals"]
    assert (told["sender"], told["reason"], told["count"]) == ("CT9", "UnknownSender", 1)


def test_the_page_gives_the_same_reasons():
    words = json.loads((Path(__file__).parents[4] / WORDS).read_text())
    shown = {key.removeprefix("refusal."): text for key, text in words.items()}
    assert {key: shown[key] for key in REASONS} == REASONS
    assert sum(key.startswith("refusal.") for key in words) == len(REASONS)


def test_no_database_is_begun(config, tmp_path):
    told = run(config)
    assert told.exit_code == 1
    assert "there is no database at" in told.output
    assert list(tmp_path.iterdir()) == [config]
