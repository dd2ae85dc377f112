import tomllib
from pathlib import Path

import pytest

from dicom_io.errors import ConfigurationError
from plugin.settings import Section, Settings, load_settings
from tests.repository import ROOT

DOCS = ROOT / "docs" / "settings.md"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_everything_has_a_default_and_listens_on_loopback_only():
    assert load_settings(None).receiver.host == "127.0.0.1"


def test_a_relative_spool_is_relative_to_the_file(tmp_path):
    settings = load_settings(written(tmp_path, '[storage]\nspool = "here"'))
    assert settings.storage.spool == tmp_path / "here"


def test_without_a_url_the_database_is_sqlite_inside_the_spool(tmp_path):
    settings = load_settings(written(tmp_path, '[storage]\nspool = "here"'))
    assert settings.storage.database_url == f"sqlite:///{tmp_path}/here/ctscribe.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[receiver]\nprot = 1", "receiver.prot"),
        ("[receiver]\nport = 70000", "receiver.port"),
        ('[receiver]\nae_title = "LONGER THAN SIXTEEN"', "receiver.ae_title"),
        ('[[destinations]]\nname = "x"\nkind = "fax"', "destinations.0"),
        ('[[receiver.peers]]\nae_title = "A"\naddress = "10.1.2"', "receiver.peers.0.address"),
        ("[receiver", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_that_is_wrong(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=said):
        load_settings(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: No such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_two_destinations_of_one_name_are_refused(tmp_path):
    one = '[[destinations]]\nname = "x"\nkind = "orthanc"\nurl = "http://127.0.0.1"\n'
    with pytest.raises(ConfigurationError, match="share one name"):
        load_settings(written(tmp_path, one + one))


def test_slices_are_counted_at_a_destination_that_exists(tmp_path):
    with pytest.raises(ConfigurationError, match="no destination is called nowhere"):
        load_settings(written(tmp_path, '[completeness]\ncount_at = "nowhere"'))


def test_the_example_in_the_docs_is_valid_and_shows_every_key(tmp_path):
    example = DOCS.read_text("utf-8").split("```toml")[1].split("```")[0]
    load_settings(written(tmp_path, example))
    shown = set(keys(tomllib.loads(example)))
    assert declared(Settings) - shown == set()


def keys(table: object) -> list[str]:
    if isinstance(table, list):
        return [key for item in table for key in keys(item)]
    if isinstance(table, dict):
        return [*table, *(key for value in table.values() for key in keys(value))]
    return []


def declared(section: type[Section]) -> set[str]:
    names = set(section.model_fields)
    for module_class in Section.__subclasses__():
        names |= set(module_class.model_fields)
    return names
