"""Which engine the settings open."""

from pathlib import Path

import pytest

from dicom_io.errors import ConfigurationError, EngineError, EngineUnavailable
from engine.serving.openai_engine import OpenAIEngine
from plugin.engines import ask_identity, opened_engine
from plugin.settings import load_settings
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
