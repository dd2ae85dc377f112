import numpy as np
import pytest

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS
from dicom_io.phantoms.detailed.phantom import draw_study
from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import Truth
from training.data.phantoms import prepare as phantoms
from training.data.phantoms.prepare import write_phantoms
from training.data.phantoms.text import in_view
from training.data.questions import TYPES
from training.data.store import as_unit_interval, open_store, verify

SPEC = PreprocessSpec(size=(8, 16, 16), window=(-200, 300), scaling="fixed")
SEEDS = range(10, 13)
PARTS = {"train": SEEDS, "test": range(40, 46)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_phantoms(folder, PARTS, SPEC)
    return folder


def test_inputs_come_back_within_half_a_step_of_sixteen_bits(folder):
    store = open_store(folder, SPEC)
    for seed in SEEDS:
        stored = as_unit_interval(store.stored(f"phantom/{seed}"))
        fresh = prepare(make_phantom(seed).volume, SPEC).pixels
        np.testing.assert_allclose(stored.numpy(), fresh, atol=0.5 / 65535 + 1e-7)


def test_truths_lie_beside_their_inputs(folder):
    images = open_store(folder).images
    for seed in SEEDS:
        truth = images[f"phantom/{seed}"].origin["truth"]
        assert Truth.from_dict(truth) == make_phantom(seed).truth


def test_the_store_is_sound(folder):
    assert list(verify(folder)) == []


def test_what_exists_is_not_made_again(folder, monkeypatch):
    def forbidden(seed):
        raise AssertionError(seed)

    monkeypatch.setattr(phantoms, "make_phantom", forbidden)
    write_phantoms(folder, PARTS, SPEC)


def test_a_store_of_other_phantoms_is_refused(folder):
    with pytest.raises(UnusableData, match="other data"):
        write_phantoms(folder, {"train": range(3)}, SPEC)


def test_both_splits_follow_the_seeds(folder):
    store = open_store(folder)
    for name in ("paper", "grouped"):
        split = store.split(name)
        assert split["train"] == [f"phantom/{seed}" for seed in SEEDS]
        assert split["test"] == [f"phantom/{seed}" for seed in PARTS["test"]]
        assert split["validation"] == []


def test_a_text_that_was_trained_on_is_in_no_other_part_of_the_grouped_split(tmp_path, monkeypatch):
    monkeypatch.setattr(phantoms, "_report", lambda kind, seed: f"Report {seed % 3}.")
    write_phantoms(tmp_path, {"train": [1, 4, 5], "test": [7, 9, 12]}, SPEC)
    store = open_store(tmp_path)
    assert store.split("grouped")["train"] == ["phantom/1", "phantom/4", "phantom/5"]
    assert store.split("grouped")["test"] == ["phantom/9"]
    assert len(store.split("paper")["test"]) == 3


def test_every_type_is_asked_in_the_files_of_each_part(folder):
    store = open_store(folder)
    for part, seeds in PARTS.items():
        asked = store.questions("paper", part)
        assert {int(question.image.removeprefix("phantom/")) for question in asked} == set(seeds)
        assert {question.type for question in asked} == set(TYPES)
        assert any(question.yes_no for question in asked)


def test_nothing_is_asked_that_the_embedded_model_does_not_know(folder):
    asked = [q for part in PARTS for q in open_store(folder).questions("paper", part)]
    assert not [q for q in asked for name in FOCAL_FINDINGS if name in (q.question, *q.choices)]


@pytest.fixture(scope="module")
def detailed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detailed")
    write_phantoms(folder, {"train": range(4)}, SPEC, kind="detailed")
    return open_store(folder, SPEC)


def test_detailed_phantoms_are_a_store_of_their_own(detailed, folder):
    assert detailed.split("paper")["train"] == [f"detailed/{seed}" for seed in range(4)]
    with pytest.raises(UnusableData, match="other data"):
        write_phantoms(folder, PARTS, SPEC, kind="detailed")


def test_a_detailed_store_says_what_was_in_view_and_where_findings_lie(detailed):
    for seed in range(4):
        origin = detailed.images[f"detailed/{seed}"].origin
        truth = Truth.from_dict(origin["truth"])
        assert truth == draw_study(seed).truth
        assert set(origin["regions"]) == {finding.name for finding in truth.findings}


def test_nothing_is_asked_of_a_detailed_phantom_that_is_out_of_view(detailed):
    for question in detailed.questions("paper", "train"):
        seed = int(question.image.removeprefix("detailed/"))
        hidden = set(DETAILED_FINDINGS) - set(in_view(draw_study(seed).truth))
        assert not [name for name in hidden if name in question.question]
