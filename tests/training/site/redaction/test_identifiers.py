import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.letters import tidied
from training.site.deidentify.known import KnownValues
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.spans import Change, apply, in_placeholder

KNOWN = KnownValues(
    names=("Müller-Lüdenscheidt^Hans-Peter^^Dr.", "Weiß^Zoë", "山田^太郎=やまだ^たろう"),
    numbers=("00123456", "A-77/2021"),
    dates=("19480523", "20210312"),
    places=("Universitätsklinikum Freiburg",),
)


def cleaned(text: str, known: KnownValues = KNOWN) -> str:
    text = tidied(text)
    return apply(text, find_identifiers(text, known))


@pytest.mark.parametrize(
    "name",
    [
        "Müller-Lüdenscheidt",
        "MÜLLER-LÜDENSCHEIDT",
        "Mueller-Luedenscheidt",
        "Muller Ludenscheidt",
        "Mu\u0308ller-Lu\u0308denscheidt",
        "Hans-Peter Müller-Lüdenscheidt",
        "Hans Peter Müller Lüdenscheidt",
        "Müller-Lüdenscheidt, H.-P.",
        "H. Müller-Lüdenscheidt",
        "Müllers",
        "Hans",
        "Müller-\n  Lüdenscheidt",
        "M u l l e r",
        "MuellerLuedenscheidt_HansPeter",
        "Weiss, Zoe",
        "ZOË WEISS",
        "Zoe\u0301 Weiß",
        "Z. Weiß",
        "山田太郎",
        "山田 太郎",
        "やまだ",
    ],
)
def test_a_known_name_is_found_however_it_is_written(name):
    assert cleaned(f"seen: {name}; no effusion") == "seen: [NAME]; no effusion"


@pytest.mark.parametrize(
    "number", ["00123456", "123456", "12 34 56", "123-456", "0123456", "A-77/2021", "a77 2021"]
)
def test_a_known_number_is_found_with_and_without_separators(number):
    assert cleaned(f"seen {number}, no effusion") == "seen [ID], no effusion"


@pytest.mark.parametrize(
    "date",
    [
        "12.03.2021",
        "12.3.21",
        "03/12/2021",
        "2021-03-12",
        "20210312",
        "12032021",
        "12 March 2021",
        "March 12th, 2021",
        "12th of March 2021",
        "12. März 2021",
        "12.MÄRZ 2021",
        "le 12 mars 2021".removeprefix("le "),
        "12 de marzo de 2021",
        "12 marzo 2021",
        "12 marca 2021",
        "12 марта 2021",
        "2021年3月12日",
        "12-Mar-2021",
        "23.5.1948",
        "May 1948",
        "1948",
        "03/2021",
        "Q1/2021",
    ],
)
def test_a_date_is_found_in_any_language(date):
    assert cleaned(f"seen {date}, no effusion") == "seen [DATE], no effusion"


@pytest.mark.parametrize("date", ["am 12.03.", "vom 5.1.", "on 3/12", "in March", "im März"])
def test_a_date_without_year_is_found_after_a_preposition(date):
    assert "[DATE]" in cleaned(f"CT {date} ohne Erguss")


@pytest.mark.parametrize("time", ["14:35", "14:35:22", "3:45 pm", "14.35 Uhr", "14h35", "um 9 Uhr"])
def test_a_time_is_found(time):
    assert cleaned(f"seen {time}, no effusion") == "seen [TIME], no effusion"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Herr Schulze kommt", "Herr [NAME] kommt"),
        ("Discussed with Dr. John Q. Public.", "Discussed with Dr. [NAME]."),
        ("vu par le Dr Jean-Luc Picard", "vu par le Dr [NAME]"),
        ("Nom : DUPONT", "Nom : [NAME]"),
        ("Paciente: García López, José", "Paciente: [NAME]"),
        ("John Smith, MD", "[NAME], MD"),
        ("SMITH^JOHN^A", "[NAME]"),
        ("results given to Johnson", "results given to [NAME]"),
        ("Telefon: 0761 / 270-0", "Telefon: [PHONE]"),
        ("call +49 (0)761 270-12345", "call [PHONE]"),
        ("call 555-123-4567", "call [PHONE]"),
        ("jane.doe@hospital.org", "[EMAIL]"),
        ("https://pacs.local/x?id=3", "[URL]"),
        ("MRN: 4711", "MRN: [ID]"),
        ("Fallnummer 998877", "Fallnummer [ID]"),
        ("DNI 12345678Z", "DNI [ID]"),
        ("RSSMRA60H05H501Z", "[ID]"),
        ("1.2.840.113619.2.55.3.604688119", "[ID]"),
        ("CT-2021-00123", "[ID]"),
        ("from Mayo Clinic today", "from [PLACE] today"),
        ("Station 4B", "Station [PLACE]"),
        ("Hauptstraße 12", "[PLACE]"),
        ("12 High Street", "[PLACE]"),
        ("75013 Paris", "[PLACE]"),
        ("im Klinikum Freiburg", "im [PLACE]"),
        ("A 93-year-old man", "A [AGE]-year-old man"),
        ("97 Jahre", "[AGE] Jahre"),
        ("Electronically signed by: Jane Doe, MD", "[SIGNATURE]"),
        ("No PE.\ngez. Dr. Huber", "No PE.\n[SIGNATURE]"),
        ("Mit freundlichen Grüßen\nProf. Dr. med. K. Huber\nOberarzt", "[SIGNATURE]"),
        ("Firmado por Dra. María Pérez", "[SIGNATURE]"),
        ("Validé par le Pr Martin", "[SIGNATURE]"),
        ("Refertato da Rossi", "[SIGNATURE]"),
        ("OA Huber, elektronisch signiert 11.03.2025 16:02", "OA [NAME], [SIGNATURE]"),
        ("Nodule. Signed by: J. Doe, M.D. A cyst is seen.", "Nodule. [SIGNATURE] A cyst is seen."),
        ("Die Tochter Elfriede Hintermoser weiß es.", "Die Tochter [NAME] weiß es."),
        ("Informed his wife, Quixana, today.", "Informed his wife, [NAME], today."),
        ("as Rosalind Quixote asked", "as [NAME] asked"),
        ("Quixote, Rosalind", "[NAME]"),
        ("aus Freiburg verlegt", "aus [PLACE] verlegt"),
        ("Hauptstraße 12, Łódź", "[PLACE]"),
        ("CT at Wobbleforth", "CT at [PLACE]"),
        ("nata a Quixia il 17.11.1971", "nata a [PLACE] il [DATE]"),
        ("PACS 10.0.7.12.", "PACS [ID]."),
        ("console 00:1b:44:11:3a:b7", "console [ID]"),
        ("11.03.2025 16:02", "[DATE] [TIME]"),
        ("No ascites. /GROBNARSKA W., 11.03.2025/", "No ascites. [SIGNATURE]"),
        ("Kein Erguss. /Grobnarska W/", "Kein Erguss. [SIGNATURE]"),
        (
            "The scan was read with Grobnar, as is usual.",
            "The scan was read with [NAME], as is usual.",
        ),
        (
            "Foie vu par Grobnar, pas de lésion du rein.",
            "Foie vu par [NAME], pas de lésion du rein.",
        ),
    ],
)
def test_identifiers_are_found_without_knowing_them(text, expected):
    assert cleaned(text, KnownValues()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "A 12 mm nodule in segment VII, 12 x 15 x 20 mm, 3.5 cm, unchanged.",
        "Fractures of T12, Th12, L4/5 and L5-S1; C1-C2; grade 3/5.",
        "Series 4, image 120; se 3/24; image 3/24; Bild 3:24.",
        "Bosniak II cyst; BI-RADS 4; LI-RADS LR-5; Fleischner; ICD C34.1; T2 N1 M0.",
        "Crohn's disease, Morison pouch, Hounsfield 45 HU, Hodgkin lymphoma, Douglas.",
        "Morbus Crohn, M. Bechterew, M. psoas, Ductus Wirsungianus, Baker-Zyste.",
        "120 kV, 2000 ml, DLP 1234 mGy*cm, CTDIvol 12.34 mGy, Tc99m, F-18 FDG, SUV 12.5.",
        "A 67-year-old man; 45 Jahre; 90% stenosis; 95 HU; 7/10.",
        "100 ml Ultravist 370, Omnipaque 350 i.v., portalvenöse Phase nach 70 s.",
        "Keine Lungenembolie. Kein Pleuraerguss. Herz nicht vergrößert. Z.n. Cholezystektomie.",
        "Pas d'épanchement pleural. Foie homogène de 15,5 cm.",
        "Barrett Esophagus, Swan Ganz catheter, Hill Sachs lesion, Ivor Lewis, Virchow Node.",
        "Organe in Lage und Form regelrecht. Mutter Mammakarzinom. Carina frei. Os sacrum.",
        "Circle of Willis, pouch of Douglas, ligament of Treitz, sinus of Valsalva.",
        "Espace de Morison, cul-de-sac de Douglas, papilla di Vater, dotto di Wirsung.",
        "The tumour is within Milan criteria and was treated with Rituximab by a Foley catheter.",
        "12x15x20 voxels; i.v. Kontrastmittel; at T12; from L4 to L5.",
        "at the 3 o'clock position; ratio 1:2; 4-5 mm; 2nd toe; 1st rib; 12th rib.",
    ],
)
def test_medical_content_stays(text):
    assert cleaned(text) == text


def test_a_name_that_is_also_a_word_goes_wherever_it_stands():
    known = KnownValues(names=("Stein^Otto",))
    assert cleaned("Stein im Ureter, Gallensteine", known) == "[NAME] im Ureter, Gallensteine"


def test_invisible_characters_hide_nothing():
    assert cleaned("seen Mül\u200bler\u00ad, no effusion") == "seen [NAME], no effusion"


def test_what_a_recognizer_finds_is_replaced_too():
    def recognizer(text):
        return [Change(m.start(), m.end(), "NAME", "model") for m in re.finditer("Johnson", text)]

    text = "compared with Johnson's study"
    found = find_identifiers(text, KnownValues(), [recognizer])
    assert apply(text, found) == "compared with [NAME]'s study"


_FRAGMENTS = st.sampled_from(
    (
        *("Dr.", "Herr", "Frau", "Mr.", "Patient:", "Name:", "gez.", "Signed by", "discussed with"),
        *("Huber", "Quixote", "Rosalind", "J.", "MD", "Łódź", "Freiburg", "Klinikum", "St. Mary's"),
        *("12.03.2021", "March 2021", "16:02", "3/12", "1948", "MRN", "4711", "123456", "A1234567"),
        *("am", "in", "at", "from", "vom", "aus", "born", ",", ".", ";", ":", "\n", "(", ")", "-"),
        *("Hauptstraße", "12", "79106", "Tel.", "0761", "/", "270-0", "a@b.org", "Tochter", "wife"),
        *("mm", "Läsion", "T12", "nodule", "Kein", "Erguss", "93", "years", "old", "Station", "4B"),
    )
)


@settings(max_examples=200)
@given(st.lists(_FRAGMENTS, max_size=14))
def test_nothing_more_is_found_in_a_text_that_was_cleaned(fragments):
    text = cleaned(" ".join(fragments))
    left = find_identifiers(text, KNOWN)
    assert [text[c.start : c.end] for c in left if not in_placeholder(text, c)] == []
