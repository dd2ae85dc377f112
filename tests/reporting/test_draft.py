import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.errors import EmptyDraft
from reporting.draft import DraftModel, ImageReference, Sentence, make_draft, statements_in
from tests.reporting.studies import MODEL, draft_of


def body(draft):
    return {str(s.heading): [sentence.text for sentence in s.sentences] for s in draft.sections}


def test_sections_come_with_the_technique_of_the_headers():
    assert body(draft_of()) == {
        "Impression": ["Ascites."],
        "Findings": ["Ascites.", "No nodule."],
        "Technique": ["CT scanner: A B."],
    }
    assert list(body(draft_of())) == ["Impression", "Findings", "Technique"]
    assert draft_of().state == "complete"


def test_the_first_words_say_that_it_is_a_draft():
    assert draft_of().notices[0].startswith("AI DRAFT - NOT VERIFIED")


def test_a_demonstration_model_says_so():
    assert any("Demonstration model" in notice for notice in draft_of().notices)
    real = draft_of(model=DraftModel("m", "1"))
    assert not any("Demonstration" in notice for notice in real.notices)


@pytest.mark.parametrize("text", ["", " \n", "Findings: Impression:", "Technique: axial.", "..."])
def test_nothing_written_is_no_draft(text):
    with pytest.raises(EmptyDraft):
        draft_of(text)


def test_a_cut_text_is_partial_and_loses_its_unfinished_sentence():
    draft = draft_of("Findings: Ascites. A cyst of 1.", finish_reason="length")
    assert draft.state == "partial"
    assert body(draft)["Findings"] == ["Ascites."]
    assert any("cut off" in notice for notice in draft.notices)


def test_a_text_cut_between_sentences_is_partial_too():
    draft = draft_of("Findings: Ascites. A cyst.", finish_reason="length")
    assert draft.state == "partial"
    assert body(draft)["Findings"] == ["Ascites.", "A cyst."]


def test_a_text_cut_in_its_first_sentence_is_no_draft():
    with pytest.raises(EmptyDraft):
        draft_of("Findings: There is a large", finish_reason="length")


def test_a_model_that_abstains_leaves_technique_and_one_sentence():
    draft = draft_of("Findings: Ascites.", abstained="the images are unlike the training data.")
    assert draft.state == "abstained"
    assert body(draft) == {
        "Findings": ["The model has not seen images like these; no findings were drafted."],
        "Technique": ["CT scanner: A B."],
    }
    assert draft.abstained == "the images are unlike the training data."


def test_incomplete_input_is_said_first_and_makes_the_draft_partial():
    draft = draft_of(incomplete="3 slices are missing")
    assert draft.state == "partial"
    assert "Incomplete input: 3 slices are missing." in draft.notices


def test_an_impression_alone_does_not_look_complete():
    assert draft_of("Impression: Normal.").state == "partial"


def test_a_sentence_knows_the_mean_probability_of_its_tokens():
    tokens = ["Find", "ings:", " Asc", "ites.", " No", " nodule."]
    logprobs = [0.0, 0.0, math.log(0.5), math.log(0.7), math.log(0.9), math.log(0.9)]
    draft = draft_of("".join(tokens), tokens=tokens, token_logprobs=logprobs)
    means = [sentence.token_probability for sentence in draft.sections[0].sentences]
    assert means == pytest.approx([0.6, 0.9])


def test_tokens_that_do_not_spell_the_text_give_no_probability():
    draft = draft_of("Ascites.", tokens=["Asc"], token_logprobs=[-0.1])
    assert draft.sections[0].sentences[0].token_probability is None


def test_evidence_is_named_before_the_full_stop():
    image = ImageReference("1.2", "1.2.3", series_number=2, instance_number=57)
    assert Sentence("A cyst.", evidence=(image,)).shown == "A cyst (series 2, image 57)."


def test_slices_that_follow_one_another_are_a_range():
    images = tuple(ImageReference("1.2", f"1.2.{n}", 2, n) for n in (57, 52, 53, 54, 57))
    assert Sentence("A cyst.", evidence=images).shown == (
        "A cyst (series 2, images 52–54; series 2, image 57)."
    )


def test_only_what_is_said_to_be_there_can_have_evidence():
    text = "Technique: CT. Findings: There is ascites. No nodule. Impression: Ascites."
    assert [text[slice(*span)] for span in statements_in(text)] == ["There is ascites.", "Ascites."]


def test_evidence_goes_to_its_sentence():
    text = "Findings: There is ascites. A cyst."
    images = (ImageReference("1.2", "1.2.3", 2, 57),)
    evidence = {statements_in(text)[1]: images}
    draft = make_draft(text, technique=[], model=MODEL, evidence=evidence)
    assert [one.evidence for one in draft.sections[0].sentences] == [(), images]


@given(st.text(max_size=200), st.sampled_from(["eos", "length"]))
def test_any_text_is_an_honest_draft_or_none(text, finish_reason):
    try:
        draft = make_draft(text, technique=["T."], model=MODEL, finish_reason=finish_reason)
    except EmptyDraft:
        return
    assert finish_reason == "eos" or draft.state == "partial"
    texts = [sentence.text for section in draft.sections for sentence in section.sentences]
    assert all(line and line == line.strip() and "\n" not in line for line in texts)
    assert all(line.encode("utf-8") for line in texts)
