"""`ctscribe models`: what a person sees and does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plugin.administration.models import findings_reader
from plugin.cli import main
from plugin.feedback.promotion import current_model, promote
from plugin.settings import load_settings
from plugin.state.audit import this_person
from plugin.state.database import open_database, session_factory
from plugin.state.tables import Draft, Job, Study
from plugin.workplace import with_current_model

SETTINGS = (
    '[storage]\nspool = "spool"\n[[models]]\nname = "chest"\nmodel = "fake"\nshadow = true\n'
    '[[models]]\nname = "head"\nmodel = "fake"\n'
)
NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def sessions(config):
    engine = open_database(load_settings(config).storage.database_url)
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def ran(config):
    def ran(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["models", *arguments, "-c", str(config)])

    return ran


def test_models_and_their_drafts_are_listed(ran, sessions):
    with sessions.begin() as session:
        study = Study(study_instance_uid="1.2", first_received_at=NOW, last_received_at=NOW)
        times = {"deadline": NOW, "hard_deadline": NOW, "not_before": NOW, "created_at": NOW}
        job = Job(study=study, revision=1, **times)
        session.add(
            Draft(
                study=study,
                job=job,
                revision=1,
                state="complete",
                sop_instance_uid="1.3",
                series_instance_uid="1.4",
                path="x",
                selected_digest="d",
                model_name="fake 1",
                model_digest="9f2b6c01" * 8,
                created_at=NOW,
            )
        )
    lines = ran("list").output.splitlines()
    assert lines[:3] == ["* [engine]", "  chest", "  head"]
    assert lines[3] == "1 draft by fake 1  9f2b6c019f2b  0 retracted"
    assert ran("retract", "9f2b6c01", "--dry-run").output.startswith("1 draft of 9f2b6c01")


def test_a_promoted_model_takes_the_place_of_the_settings_own(ran, config, sessions):
    assert "in place of [engine]" in ran("promote", "head").output
    assert json.loads(ran("list", "--json").output)["current"] == "head"
    settings = with_current_model(load_settings(config), sessions)
    assert settings.engine == settings.models[1]
    assert ran("rollback").output == "the service's model is [engine] again\n"
    assert current_model(sessions) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("promote", "foot"), "no model is called foot; the settings have: chest, head"),
        (("promote", "[engine]"), "is the service's model already"),
        (("rollback",), "nothing to roll back"),
        (("retract", "12345678"), "12345678: no draft"),
    ],
)
@pytest.mark.usefixtures("sessions")
def test_what_cannot_be_done_is_said_in_a_line(ran, arguments, said):
    result = ran(*arguments)
    assert (result.exit_code, said in result.output) == (1, True)


def test_a_promoted_model_that_the_settings_know_no_more_stops_workers_with_advice(
    config, sessions
):
    from dicom_io.errors import ConfigurationError

    promote(sessions, "gone", NOW, this_person())
    with pytest.raises(ConfigurationError, match="is called so: write it"):
        with_current_model(load_settings(config), sessions)


@pytest.mark.usefixtures("sessions")
def test_a_comparison_of_nothing_says_so(ran):
    assert ran("compare", "chest").output == "no study was drafted by chest in the shadow yet\n"


def test_findings_are_read_by_the_products_own_reader():
    read = findings_reader()
    text = "Findings: Small left pleural effusion. No pneumothorax."
    assert read(text) == ["left pleural effusion"]
