import pytest

from training.site.redaction.languages import UnknownLanguage, refuse_unknown_language
from training.site.redaction.measured import sentences


@pytest.mark.parametrize(
    "text",
    [
        "Inga lungembolier. Hjärtat är normalstort. Ingen pleuravätska. Levern utan förändringar.",
        "Akciğerlerde nodül izlenmedi. Kalp boyutları normaldir. Plevral efüzyon yoktur.",
        "Bez známek plicní embolie. Srdce není zvětšeno. Játra bez ložiskových změn. Bez výpotku.",
        "Немає ознак тромбоемболії. Серце не збільшене. Печінка без вогнищевих змін.",
        "Tidak tampak emboli paru. Jantung tidak membesar. Tidak ada efusi pleura. Hati normal.",
        "אין תסחיף ריאתי. הלב תקין.",
        "ไม่พบลิ่มเลือดในปอด หัวใจปกติ",
    ],
)
def test_a_language_that_no_rule_covers_is_refused(text):
    with pytest.raises(UnknownLanguage, match="no rule covers"):
        refuse_unknown_language(text)


def test_no_sentence_of_a_covered_language_is_refused():
    for sentence in sentences():
        refuse_unknown_language(sentence.text)


def test_a_few_technical_words_are_in_any_language():
    refuse_unknown_language("CT Thorax.")
    refuse_unknown_language("")
