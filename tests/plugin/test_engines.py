"""Which engine the settings open."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_io.errors import ConfigurationError, EngineError, EngineUnavailable
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.serving.asking import Asking
from engine.serving.openai_engine import OpenAIEngine
from plugin.drafting.engine_watch import EngineWatch
from plugin.drafting.writing.pipeline import Pipeline
from plugin.engines import ask_identity, opened_engine
from plugin.settings import load_settings
from plugin.state.tables import Event
from reporting.objects.render import report_text
from tests.engine.openai_server import DONE, answering, scored
from tests.ports import free_port

OWN = 'model = "m"\nslices = 4\nwindows = [[40, 400]]\nreport = "Write."\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "ctscribe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_openai_server_is_asked_as_a_file_beside_the_settings_says(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    url = f"openai+http://127.0.0.1:{free_port()}"
    settings = load_settings(written(tmp_path, f'[engine]\nurl = "{url}"\nasking = "own.toml"'))
    with opened_engine(settings) as engine:
        assert isinstance(engine, OpenAIEngine)
        assert engine.preprocess.size[0] == 4
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1"):
            ask_identity(engine)


def test_a_preset_that_does_not_exist_is_named(tmp_path):
    text = '[engine]\nurl = "openai+http://gpu"\nasking = "odd"'
    with (
        pytest.raises(EngineError, match="odd is no file"),
        opened_engine(load_settings(written(tmp_path, text))),
    ):
        pass


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ('url = "openai+http://gpu"', "asking goes with"),
        ('url = "http://gpu"\nasking = "medgemma-1.5"', "asking goes with"),
        ('url = ["http://a", "openai+http://b"]\nasking = "medgemma-1.5"', "not both"),
        ('url = "openai+ftp://gpu"\nasking = "medgemma-1.5"', "url"),
        ('url = "openai+http://user:secret@gpu"\nasking = "medgemma-1.5"', "url"),
    ],
)
def test_urls_and_asking_that_contradict_each_other_are_refused(engine, says, tmp_path):
    with pytest.raises(ConfigurationError, match=says) as refused:
        load_settings(written(tmp_path, f"[engine]\n{engine}"))
    assert "secret" not in str(refused.value)


def test_a_study_becomes_a_draft_by_a_server_of_another_make(tmp_path):
    paths = sorted(write_study(make_phantom(21, matrix=32), tmp_path / "study").iterdir())
    asking = Asking("m", 3, ((40, 400),), "Write.")
    said = scored("Findings: ", -0.1) + scored("Ascites.", -0.2) + DONE
    with answering(said, asking=asking) as (engine, server):
        report = Pipeline(engine).make_report(paths)
    assert report.state == "complete"
    assert "Ascites." in report_text(report.sr)
    sent = json.dumps(server.asked)
    header = dcmread(paths[0])
    assert not [value for value in IDENTITY if str(header[value].value) in sent]


IDENTITY = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def test_an_outage_of_such_a_server_and_its_end_are_events(sessions, rows):
    asking = Asking("m", 3, ((40, 400),), "Write.")
    with answering(DONE, asking=asking) as (engine, _):
        watch = EngineWatch(sessions, engine.name, engine.ask_identity)
        assert watch.ready()
    down = OpenAIEngine(f"http://127.0.0.1:{free_port()}", asking=asking)
    with closing(down):
        watch.identify = down.ask_identity
        assert not watch.ready()
    assert [event.kind for event in rows(Event)] == ["engine_up", "engine_down"]
