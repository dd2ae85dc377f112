import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.text.sentences import is_finished, sentence_spans


def split(text):
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A cyst of 1.5 cm. No ascites.", ["A cyst of 1.5 cm.", "No ascites."]),
        ("Nodule ≥ 6 mm. Seen by Dr. Who.", ["Nodule ≥ 6 mm.", "Seen by Dr. Who."]),
        ("It measures 6. The liver is fatty.", ["It measures 6.", "The liver is fatty."]),
        ("approx. 3 cm, e.g. a cyst. Spleen", ["approx. 3 cm, e.g. a cyst.", "Spleen"]),
        ("the liver is fatty. no ascites.", ["the liver is fatty.", "no ascites."]),
        ("1. Ascites.\n2. Cardiomegaly.", ["Ascites.", "Cardiomegaly."]),
        ("- Ascites\n* Splenomegaly", ["Ascites", "Splenomegaly"]),
        ("It is 1. 5 cm wide.", ["It is 1. 5 cm wide."]),
        ("Fracture? No. Effusion!", ["Fracture?", "No.", "Effusion!"]),
        ("See No. 5. Next", ["See No. 5.", "Next"]),
        ("肝臓は正常。腹水なし。", ["肝臓は正常。", "腹水なし。"]),
        ("Normal (see above.) Next one.", ["Normal (see above.)", "Next one."]),
        ("  \n ... ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, sentences):
    assert split(text) == sentences


@given(st.text(alphabet="aB1. \n!?-*)。", max_size=60))
def test_no_letter_is_lost_and_spans_stay_in_order(text):
    spans = sentence_spans(text)
    flat = [position for span in spans for position in span]
    assert flat == sorted(flat)
    kept = "".join(text[start:end] for start, end in spans)
    assert [c for c in text if c in "aB"] == [c for c in kept if c in "aB"]


@pytest.mark.parametrize("text", ["A cyst.", "Really?", "腹水なし。", "(See above.)"])
def test_a_sentence_with_its_stop_is_finished(text):
    assert is_finished(text)


@pytest.mark.parametrize("text", ["A cyst of", "It measures 1.", "Seen by Dr.", "", "A cyst,"])
def test_a_sentence_that_may_go_on_is_unfinished(text):
    assert not is_finished(text)
