import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from dicom_io.errors import ConfigurationError
from plugin.rules.rules import Rule
from plugin.sections.destinations import Destination, OAuth
from plugin.sections.section import Certificates
from plugin.sections.upkeep import Channel, SyslogLine
from plugin.settings import Engine, NamedModel, Settings, load_settings
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


def test_a_model_beside_the_settings_is_found_from_any_folder(tmp_path):
    (tmp_path / "ours").mkdir()
    for name in ("ours", "./ours", "./not-there-yet", "../elsewhere", str(tmp_path / "ours")):
        settings = load_settings(written(tmp_path, f'[engine]\nmodel = "{name}"'))
        assert Path(settings.engine.model) == tmp_path / name
    for name in ("embedded", "fake", "MagicXin/Med3DVLM-Qwen-2.5-7B@0123abc"):
        settings = load_settings(written(tmp_path, f'[engine]\nmodel = "{name}"'))
        assert settings.engine.model == name


def test_without_a_url_the_database_is_sqlite_inside_the_spool(tmp_path):
    settings = load_settings(written(tmp_path, '[storage]\nspool = "here"'))
    assert settings.storage.database_url == f"sqlite:///{tmp_path}/here/ctscribe.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[receiver]\nprot = 1", "receiver.prot: no such key"),
        ("[receiver]\nport = 70000", "receiver.port"),
        ('[receiver]\nae_title = "LONGER THAN SIXTEEN"', "receiver.ae_title"),
        (
            '[[destinations]]\nname = "x"\nkind = "fax"',
            "destination x: kind: must be one of 'dimse'",
        ),
        ('[[receiver.peers]]\nae_title = "A"\naddress = "10.1.2"', "receiver.peers.0.address"),
        ('[worker]\ndefault_character_set = "ISO_IR 999"', "worker.default_character_set"),
        (
            '[[destinations]]\nname = "x"\nkind = "orthanc"\nurl = "http://x"\n'
            'rejection_notes = true\nforms = ["pdf"]',
            "toml: destination x: rejection_notes: a note rejects",
        ),
        (
            '[[destinations]]\nname = "x"\nkind = "hl7"\nhots = "h"',
            "destination x: host: is missing",
        ),
        (
            '[[destinations]]\nname = "x"\nkind = "hl7"\nhost = "h"\nport = 1\nhots = "h"',
            "destination x: hots: no such key",
        ),
        ('[[destinations]]\nkind = "orthanc"', "destination number 1: name: is missing"),
        ('[[destinations]]\nname = "x"', "destination x: kind: is missing"),
        ("destinations = [1]", "destination number 1: "),
        (
            "[retention]\nimages_days = 0",
            "retention.images_days: must be a number of days from 1, or",
        ),
        ('[retention]\nimages_days = "ever"', "retention.images_days: must be a number of days"),
        ("[retention]\nlow_percent = 90", "retention: low_percent must not be above high_percent"),
        ("[receiver", "not valid TOML"),
        (
            "[[rules]]\nname = 'a'\nwhen = 'hours > 3'",
            "rule a: when: line 3, column 9: unknown name",
        ),
        (
            "[[rules]]\nname = 'a'\nwhen = '''\nhour > 3\n  and sender < 4'''",
            "rule a: when: line 5, column 7: a text and a number",
        ),
        ('[[rules]]\nname = "a"\nwhen = "\\"x\\" = 3"', "rule a: when: character 5: not an"),
        ('[[rules]]\nwhen = "redraft"', "rule number 1: name: is missing"),
        ('[[rules]]\nname = "a"\nurgency = "now"', "rule a: urgency: Input should be 'stat'"),
        ('[[rules]]\nname = "a"\nmodel = "b"', "rule a: no model is called b"),
        ('[[rules]]\nname = "a"\ndestinations = ["b"]', "rule a: no destination is called b"),
        ('[[rules]]\nname = "a"\n[[rules]]\nname = "a"', "two rules share one name"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_that_is_wrong(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=said):
        load_settings(written(tmp_path, text))


def test_a_receiver_needs_a_certificate(tmp_path):
    text = '[receiver.tls]\nauthorities = "ca.pem"'
    with pytest.raises(ConfigurationError, match="the receiver needs a certificate"):
        load_settings(written(tmp_path, text))


def test_a_destination_has_one_login(tmp_path):
    login = 'credentials_env = "A"\ntoken_env = "B"'
    archive = f'[[destinations]]\nname = "a"\nkind = "orthanc"\nurl = "http://a"\n{login}'
    with pytest.raises(ConfigurationError, match="exclude one another"):
        load_settings(written(tmp_path, archive))


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


def test_slices_are_not_counted_where_no_images_are_kept(tmp_path):
    ris = 'name = "ris"\nkind = "hl7"\nhost = "127.0.0.1"\nport = 2575'
    text = f'[completeness]\ncount_at = "ris"\n[[destinations]]\n{ris}'
    with pytest.raises(ConfigurationError, match="ris is no archive of images"):
        load_settings(written(tmp_path, text))


def test_prior_studies_are_looked_for_in_an_archive(tmp_path):
    ris = 'name = "ris"\nkind = "hl7"\nhost = "127.0.0.1"\nport = 2575'
    text = f'[web]\npriors_at = "ris"\n[[destinations]]\n{ris}'
    with pytest.raises(ConfigurationError, match=r"web.priors_at: ris is no archive of images"):
        load_settings(written(tmp_path, text))


def test_the_examples_in_the_docs_are_valid(tmp_path):
    examples = DOCS.read_text("utf-8").split("```toml")[1:]
    loaded = [load_settings(written(tmp_path, example.split("```")[0])) for example in examples]
    assert [len(one.destinations) for one in loaded] == [1, 0, 3, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "table",
    [one for one in Settings.model_fields if one not in ("destinations", "models", "rules")],
)
def test_the_docs_tell_every_key_with_its_default(table):
    defaults = getattr(Settings(), table).model_dump(mode="json")
    for own in ("peers", "oidc", "acceptance"):  # tables of their own
        defaults.pop(own, None)
    assert documented(table) == defaults


def test_the_docs_tell_every_key_of_acceptance_with_its_default():
    assert documented("web.acceptance") == Settings().web.acceptance.model_dump(mode="json")


def test_the_docs_tell_every_key_of_a_destination():
    kinds = get_args(get_args(Destination)[0])
    page = DOCS.read_text("utf-8").partition("## `[[destinations]]`")[2]
    shown = set(re.findall(r"`(\w+)`", page))
    assert {key for kind in kinds for key in kind.model_fields} - shown == set()


@pytest.mark.parametrize(("table", "keys"), [("rules", Rule), ("models", NamedModel)])
def test_the_docs_tell_every_key_of_a_rule_and_of_a_model(table, keys):
    page = DOCS.read_text("utf-8").partition(f"## `[[{table}]]`")[2].partition("\n## ")[0]
    own = set(keys.model_fields) - set(Engine.model_fields)
    assert own - set(re.findall(r"`(\w+)`", page)) == set()


def test_the_docs_tell_every_key_of_the_tables_of_a_line():
    shown = set(re.findall(r"`(\w+)`", DOCS.read_text("utf-8")))
    assert {*Certificates.model_fields, *OAuth.model_fields} - shown == set()


def test_the_docs_tell_every_key_of_a_channel_and_a_repository():
    page = DOCS.read_text("utf-8").partition("## `[alarms]`")[2].partition("## Certificates")[0]
    kinds = [*get_args(get_args(Channel)[0]), SyslogLine]
    shown = set(re.findall(r"`(\w+)`", page))
    assert {key for kind in kinds for key in kind.model_fields} - shown == set()


def test_certificates_lie_beside_the_file(tmp_path):
    text = '[receiver.tls]\ncertificate = "own.pem"\nkey = "/etc/own.key"'
    tls = load_settings(written(tmp_path, text)).receiver.tls
    assert (tls.certificate, tls.key) == (tmp_path / "own.pem", Path("/etc/own.key"))


def documented(table: str) -> dict[str, object]:
    """Read keys and defaults from the table of one section."""
    section = DOCS.read_text("utf-8").partition(f"## `[{table}]`")[2].partition("\n##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE)
    return {key: default_of(cell) for key, cell in rows}


def default_of(cell: str) -> object:
    if cell.startswith("`"):
        return tomllib.loads(f"default = {cell.strip('`')}")["default"]
    return None if cell in ("none", "SQLite inside the spool") else cell


def test_commitment_is_to_the_one_object_that_is_sent(tmp_path):
    path = tmp_path / "ctscribe.toml"
    pacs = (
        '[[destinations]]\nname = "pacs"\nkind = "dimse"\nhost = "h"\nport = 104\n'
        'ae_title = "PACS"\nproof = "commitment"\n'
    )
    path.write_text(pacs)
    with pytest.raises(ConfigurationError, match="enhanced-sr"):
        load_settings(path)
    path.write_text(pacs + 'forms = ["enhanced-sr"]\n')
    assert load_settings(path).destinations[0].proof == "commitment"


VLLM = '[engine]\ndecoder = "vllm"\n[engine.vllm]\n'


def test_vllm_is_started_with_a_folder_beside_the_settings(tmp_path):
    settings = load_settings(written(tmp_path, f'{VLLM}folder = "llm"'))
    assert settings.engine.vllm.folder == tmp_path / "llm"
    assert settings.engine.takes_several


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[engine]\ndecoder = "vllm"', "goes with the table vllm"),
        ('[engine.vllm]\nfolder = "llm"', "goes with the table vllm"),
        (VLLM, "url of a server that runs, or folder"),
        (f'{VLLM}folder = "llm"\nurl = "http://127.0.0.1:8000"', "url of a server that runs, or"),
        (f'{VLLM}url = "http://10.1.2.3:8000"', "beyond loopback needs token_env"),
        (f'{VLLM}url = "http://127.0.0.1:8000"\noptions = ["--x"]', "options go with folder"),
        (f'{VLLM}folder = "llm"\ntoken_env = "T"', "token_env goes with url"),
    ],
)
def test_vllm_is_either_reached_or_started(tmp_path, text, why):
    with pytest.raises(ConfigurationError, match=why):
        load_settings(written(tmp_path, text))


def test_vllm_goes_with_a_whole_model_that_runs_here(tmp_path):
    for key in ('url = "http://gpu"', 'quantization = "int8"'):
        text = VLLM.replace("[engine]\n", f"[engine]\n{key}\n") + 'folder = "llm"'
        with pytest.raises(ConfigurationError, match="engine"):
            load_settings(written(tmp_path, text))
