import json
import shutil

import pytest

from dicom_io.errors import UnusableData
from training.data.store import digest
from training.learner.material import open_material
from training.recipe.recipe import load_recipe


@pytest.fixture
def own(store, tmp_path):
    """A store of this test's own."""
    return shutil.copytree(store, tmp_path / "store")


def test_a_case_in_two_parts_of_the_grouped_split_is_refused(recipe, own):
    splits = json.loads((own / "splits.json").read_text())
    splits["grouped"]["test"].append(splits["grouped"]["train"][0])
    (own / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(UnusableData, match="is in train and in test"):
        open_material(load_recipe(recipe), own)


def test_the_digest_changes_with_a_text(own):
    before = digest(own)
    texts = own / "texts.jsonl"
    texts.write_text(texts.read_text().replace("left", "right", 1))
    assert digest(own) != before


def test_it_says_what_was_learned_from(recipe, store):
    said = open_material(load_recipe(recipe), store).describe()
    assert said["images"] == {"train": 16, "validation": 4, "test": 4}
    assert (said["source"], said["split"]) == ("test", "grouped")
