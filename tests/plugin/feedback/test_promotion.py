from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from dicom_io.errors import PluginError
from plugin.feedback.promotion import OWN, current_model, promote, roll_back
from plugin.state.audit import AuditRow, this_person
from plugin.state.tables import Event


def trail(sessions) -> list[AuditRow]:
    with sessions() as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.position)))


NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_model_of_the_settings_is_the_first(sessions):
    assert current_model(sessions) is None


def test_a_model_is_promoted_and_rolled_back(sessions, rows):
    assert promote(sessions, "chest", NOW, this_person()) == OWN
    assert current_model(sessions) == "chest"
    assert roll_back(sessions, NOW, this_person()) == OWN
    assert current_model(sessions) is None
    assert [event.message for event in rows(Event)] == [
        "the service's model is chest, in place of [engine]",
        "the service's model is [engine], in place of chest",
    ]
    entries = [one.entry for one in trail(sessions)]
    assert [one.values for one in entries] == [{"model": "chest"}, {"model": "[engine]"}]
    assert {one.who.kind for one in entries} == {"person"}


def test_a_second_rollback_does_not_bring_the_bad_model_back(sessions):
    promote(sessions, "chest", NOW, this_person())
    roll_back(sessions, NOW, this_person())
    with pytest.raises(PluginError, match=r"went back to \[engine\] already"):
        roll_back(sessions, NOW, this_person())
    assert current_model(sessions) is None
    promote(sessions, "chest", NOW, this_person())
    promote(sessions, "head", NOW, this_person())
    assert roll_back(sessions, NOW, this_person()) == "chest"


def test_what_changes_nothing_is_refused(sessions):
    with pytest.raises(PluginError, match="nothing to roll back"):
        roll_back(sessions, NOW, this_person())
    with pytest.raises(PluginError, match="already"):
        promote(sessions, None, NOW, this_person())
