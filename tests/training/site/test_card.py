import json

from tests.training.site.store import write_store
from training.data.store import ImageRecord
from training.site.card import make_card


def records(*origins: dict) -> list[ImageRecord]:
    return [
        ImageRecord(f"p{n}/s-1", f"p{n}", f"p{n}/s", origin=origin)
        for n, origin in enumerate(origins)
    ]


def test_small_groups_are_not_counted_out():
    card = make_card(records(*[{"sex": "F"}] * 6, *[{"sex": "M"}] * 4), {})
    assert card["sex"] == {"F": 6, "M": "<5"}


def test_a_scanner_of_few_patients_is_not_named():
    common, rare = {"manufacturer": "GE", "model": "Optima"}, {"manufacturer": "Anke"}
    card = make_card(records(*[common] * 5, *[rare] * 3), {})
    assert card["scanners"] == {"GE Optima": 5, "other": "<5"}


def test_ages_are_in_their_order():
    card = make_card(records(*({"age_decade": d} for d in ("90+", "100s", "20s", "0s", None))), {})
    assert list(card["ages"]) == ["0s", "20s", "90+", "100s", "not stated"]


def test_images_of_one_patient_count_once():
    twice = [ImageRecord(f"p/s-{n}", "p", "p/s", origin={"sex": "F"}) for n in range(9)]
    card = make_card(twice, {})
    assert (card["patients"], card["studies"], card["images"]) == (1, 1, 9)
    assert card["sex"] == {"F": "<5"}


def test_rejections_are_counted_by_reason_and_name_no_study():
    rejected = [{"what": f"s-{n}", "why": "no report"} for n in range(3)]
    card = make_card(records({}), {"rejected": rejected})
    assert card["rejected"] == {"no report": 3}
    assert "s-1" not in json.dumps(card)


def test_the_card_says_whether_a_person_looked(tmp_path):
    out = write_store(tmp_path / "out", ["a", "b"], facts={"reviewed": True, "years": [2019, 2022]})
    text = (out / "DATACARD.md").read_text()
    assert "Review of the reports: **by a person**." in text
    assert "2019–2022" in text
    assert json.loads((out / "datacard.json").read_text())["review"] == "by a person"


def test_a_card_of_unseen_changes_says_so():
    assert make_card(records({}), {})["review"].startswith("none")
