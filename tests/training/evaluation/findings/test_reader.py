"""Report phrasing, gentle and adversarial, against what a reader would note down."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_io.phantoms.detailed.phantom import draw_study
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import draw_truth
from training.data.phantoms.text import report_text
from training.data.prose import study_findings
from training.evaluation.findings.reader import Mention, read_findings
from training.evaluation.findings.score import true_mentions
from training.evaluation.findings.vocabulary import default_vocabulary, parse_vocabulary


def said(text: str, status: str = "present") -> set[str]:
    """Mentions as words, e.g. "left kidney stone 5"."""
    return {words(m) for m in read_findings(text) if m.status == status}


def words(mention: Mention) -> str:
    size = None if mention.size_mm is None else f"{mention.size_mm:g}"
    return " ".join(part for part in (mention.side, mention.finding, size) if part)


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("The heart is enlarged.", {"cardiomegaly"}),
        ("Small left pleural effusion.", {"left pleural effusion"}),
        ("LEFT-SIDED PLEURAL EFFUSION", {"left pleural effusion"}),
        ("There is a pleural effusion.", {"pleural effusion"}),
        ("Fatty liver. Enlarged spleen.", {"hepatic steatosis", "splenomegaly"}),
        ("Diffuse hepatic steatosis is again noted.", {"hepatic steatosis"}),
        ("Hepatosplenomegaly.", {"splenomegaly", "hepatomegaly"}),
        ("The heart and the spleen are mildly enlarged.", {"cardiomegaly", "splenomegaly"}),
        ("The heart is normal and the spleen is enlarged.", {"splenomegaly"}),
        ("The heart is normal, enlarged mediastinal nodes are seen.", {"lymphadenopathy"}),
        ("Right lower lobe consolidation.", {"right consolidation"}),
        ("Pleural and pericardial effusions.", {"pleural effusion", "pericardial effusion"}),
        ("Pericardial effusion.", {"pericardial effusion"}),
        ("Moderate knee joint effusion.", set()),
        ("Free air under the diaphragm and free fluid.", {"pneumoperitoneum", "ascites"}),
        ("Filling defects in the right main pulmonary artery.", {"pulmonary embolism"}),
        ("Filling defects in the portal vein.", set()),
        ("Left hydroureter and hydronephrosis.", {"left hydronephrosis"}),
        ("Cirrhotic liver with surface nodularity, splenomegaly.", {"cirrhosis", "splenomegaly"}),
        ("Small volume pelvic free fluid.", {"ascites"}),
        ("Mild abdominal and pelvic ascites.", {"ascites"}),
        ("Fibrotic changes of the liver.", set()),
        ("Acute pulmonary embolism.", {"pulmonary embolism"}),
        ("Non-obstructing 3 mm left renal calculus.", {"left kidney stone 3"}),
        ("Left hydronephrosis.", {"left hydronephrosis"}),
        ("Infrarenal abdominal aortic aneurysm, 4.5 cm.", {"aortic aneurysm 45"}),
        ("Aneurysm of the left middle cerebral artery.", set()),
        ("Subcutaneous emphysema of the chest wall.", set()),
        ("Centrilobular emphysema.", {"emphysema"}),
        ("Right 7th rib fracture.", {"right fracture"}),
        ("Acute subdural haematoma on the left.", {"left haemorrhage"}),
    ],
)
def test_findings_are_read(text, present):
    assert said(text) == present


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("There is no cardiomegaly.", set()),
        ("No pleural effusion, but ascites is present.", {"ascites"}),
        ("No pleural effusion; ascites.", {"ascites"}),
        ("No pleural effusion, pneumothorax or consolidation.", set()),
        ("No evidence of pleural effusion or pneumothorax.", set()),
        ("Without pleural effusion.", set()),
        ("Enlarged spleen without a focal lesion.", {"splenomegaly"}),
        ("The heart is not enlarged.", set()),
        ("The heart and spleen are not enlarged.", set()),
        ("Neither pleural effusion nor pneumothorax.", set()),
        ("Negative for pulmonary embolism.", set()),
        ("The lungs are free of nodules.", set()),
        ("Absence of ascites.", set()),
        ("Pleural effusion is not seen.", set()),
        ("Pleural effusion and pneumothorax are not identified.", set()),
        ("Ascites: none.", set()),
        ("Ascites: no. Left effusion.", {"left pleural effusion"}),
        ("The left pleural effusion has resolved.", set()),
        ("The previously seen left pleural effusion has completely resolved.", set()),
        ("Interval resolution of the left pleural effusion.", set()),
        ("Left effusion is stable and right effusion has resolved.", {"left pleural effusion"}),
        ("No left pleural effusion, small right pleural effusion.", {"right pleural effusion"}),
        ("Small right pleural effusion, no left pleural effusion.", {"right pleural effusion"}),
        ("No effusion and the spleen is enlarged.", {"splenomegaly"}),
        ("No effusion, the spleen is enlarged.", {"splenomegaly"}),
        ("No abnormality other than a small left effusion.", {"left pleural effusion"}),
        ("No pneumothorax except for trace ascites.", {"ascites"}),
        ("Right kidney stone - no hydronephrosis.", {"right kidney stone"}),
        ("Pneumothorax has been ruled out.", set()),
        ("Appendicitis is unlikely.", set()),
        ("Resection of the spleen; history of splenomegaly, ascites.", {"ascites"}),
        ("Effusion has resolved, 5 mm nodule persists.", {"pulmonary nodule 5"}),
        ("No consolidation, 6 mm nodule in the right upper lobe.", {"right pulmonary nodule 6"}),
    ],
)
def test_negation_has_a_scope(text, present):
    assert said(text) == present


@pytest.mark.parametrize(
    "text",
    [
        "No change in the 8 mm left lower lobe nodule.",
        "No significant interval change of the 8 mm left lower lobe nodule.",
        "8 mm left lower lobe nodule, not significantly changed.",
        "Unchanged 8 mm left lower lobe nodule.",
        "8 mm left lower lobe nodule without significant growth.",
        "Decreased 8 mm nodule in the left lower lobe.",
    ],
)
def test_what_did_not_change_is_there(text):
    assert said(text) == {"left pulmonary nodule 8"}


@pytest.mark.parametrize(
    ("text", "uncertain"),
    [
        ("Possible small pneumothorax on the right.", {"right pneumothorax"}),
        ("Pulmonary embolism cannot be excluded.", {"pulmonary embolism"}),
        ("Pulmonary embolism is not excluded.", {"pulmonary embolism"}),
        ("Cannot exclude appendicitis.", {"appendicitis"}),
        ("Opacity may represent atelectasis or consolidation.", {"atelectasis", "consolidation"}),
        ("?Fracture of the left 5th rib.", {"left fracture"}),
        ("Findings are suspicious for diverticulitis.", {"diverticulitis"}),
        ("Atelectasis versus consolidation.", {"atelectasis", "consolidation"}),
    ],
)
def test_hedged_findings_are_uncertain(text, uncertain):
    assert said(text, "uncertain") == uncertain
    assert said(text) == set()


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("Bilateral pleural effusions.", {"left pleural effusion", "right pleural effusion"}),
        ("Pleural effusions, left and right.", {"left pleural effusion", "right pleural effusion"}),
        ("Left greater than right effusions.", {"left pleural effusion", "right pleural effusion"}),
        (
            "Bilateral pleural effusions, larger on the right.",
            {"left pleural effusion", "right pleural effusion"},
        ),
        (
            "Right pleural effusion with atelectasis.",
            {"right pleural effusion", "right atelectasis"},
        ),
        ("The right kidney is normal and the left kidney contains a cyst.", {"left renal cyst"}),
        ("Cyst in the left kidney, the right kidney is normal.", {"left renal cyst"}),
        (
            "Cyst of the right kidney and stone in the left kidney.",
            {"right renal cyst", "left kidney stone"},
        ),
        (
            "The right kidney contains a 12 mm cyst and a 5 mm stone.",
            {"right renal cyst 12", "right kidney stone 5"},
        ),
        (
            "Nodules in the right upper and left lower lobe.",
            {"left pulmonary nodule", "right pulmonary nodule"},
        ),
        ("No effusion on the right; effusion on the left.", {"left pleural effusion"}),
        (
            "Layering fluid on the left, in keeping with a pleural effusion.",
            {"left pleural effusion"},
        ),
        (
            "Cyst of the right kidney and left pleural effusion.",
            {"right renal cyst", "left pleural effusion"},
        ),
        ("Cysts of the left kidney and the right kidney.", {"left renal cyst", "right renal cyst"}),
        ("Lt. renal cyst.", {"left renal cyst"}),
    ],
)
def test_sides_belong_to_their_finding(text, present):
    assert said(text) == present


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("3.5 cm hepatic cyst.", {"hepatic cyst 35"}),
        ("Hepatic cyst measuring 3.2 x 2.1 cm.", {"hepatic cyst 32"}),
        ("Hepatic cyst of 21 x 32 x 15 mm.", {"hepatic cyst 32"}),
        ("Hepatic cysts of 5-8 mm.", {"hepatic cyst 8"}),
        ("Liver lesion, 20mm.", {"liver lesion 20"}),
        ("5 mm nodule in the left upper lobe and 9 mm nodule in the right lower lobe.",
         {"left pulmonary nodule 5", "right pulmonary nodule 9"}),
        ("A nodule is seen in the left upper lobe. It measures 8 mm.", {"left pulmonary nodule 8"}),
        ("Left pleural effusion, 20 mm deep.", {"left pleural effusion"}),
        ("There is a nodule of approx. 8 mm in the left lung.", {"left pulmonary nodule 8"}),
    ],
)  # fmt: skip
def test_sizes_are_the_largest_diameter_in_mm(text, present):
    assert said(text) == present


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("Hypodense lesion in segment VI.", {"liver lesion"}),
        ("Hypodense lesion of the spleen.", {"splenic lesion"}),
        ("Cyst at the lower pole of the spleen.", {"splenic lesion"}),
        ("Cyst at the lower pole of the left kidney.", {"left renal cyst"}),
        ("There is a cyst in the liver and a stone in the right kidney.",
         {"hepatic cyst", "right kidney stone"}),
        ("Nodule of the left thyroid lobe.", {"left thyroid nodule"}),
        ("Left adrenal nodule.", {"left adrenal nodule"}),
        ("8 mm nodule.", {"pulmonary nodule 8"}),
        ("Subcutaneous nodule of the abdominal wall.", set()),
        ("Cyst of the jaw.", set()),
        ("Stones in the gallbladder.", {"gallstone"}),
    ],
)  # fmt: skip
def test_the_organ_decides_what_a_general_word_means(text, present):
    assert said(text) == present


@pytest.mark.parametrize(
    "text",
    [
        "Technique: 5 mm slices. Comparison: prior with a left effusion. Findings: Ascites.",
        "INDICATION: rule out pneumothorax\nFINDINGS:\n- Ascites\nIMPRESSION:\n1. Ascites",
        "Clinical history: splenomegaly.\nFindings: Ascites.",
    ],
)
def test_sections_that_say_nothing_of_the_images_are_left_out(text):
    assert said(text) == {"ascites"}


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("No evidence of acute pulmonary embolism, aortic dissection, or pneumothorax.", set()),
        ("The previously described 7 mm right lower lobe nodule is no longer visualized.", set()),
        ("The gallbladder contains multiple stones without wall thickening or fluid to suggest "
         "acute cholecystitis.", {"gallstone"}),
        ("There is mild right hydronephrosis secondary to a 6 mm obstructing calculus at the right "
         "vesicoureteric junction.", {"right hydronephrosis", "right ureteric stone 6"}),
        ("No hydronephrosis, hydroureter or renal calculi on either side.", set()),
        ("Fusiform infrarenal abdominal aortic aneurysm measures 4.8 x 4.6 cm, previously 4.5 cm.",
         {"aortic aneurysm 48"}),
        ("Cirrhotic liver with splenomegaly and large volume ascites.",
         {"cirrhosis", "splenomegaly", "ascites"}),
        ("Status post cholecystectomy. No biliary dilatation.", set()),
        ("Trace left pneumothorax has nearly completely resolved.", set()),
        ("The pleural effusions seen on the prior examination have resolved. Ascites persists.",
         {"ascites"}),
        ("Consolidation in the left lower lobe is concerning for pneumonia.",
         {"left consolidation"}),
        ("Enlarged left para-aortic lymph nodes measuring up to 15 mm in short axis.",
         {"lymphadenopathy 15"}),
    ],
)  # fmt: skip
def test_sentences_as_radiologists_write_them(text, present):
    assert said(text) == present


@pytest.mark.parametrize("text", ["", "  ", "...", "Normal study.", "(see above)", "½ ≥ ©"])
def test_a_text_without_findings_names_none(text):
    assert read_findings(text) == []


@pytest.mark.parametrize("seed", range(40))
def test_every_report_of_a_phantom_reads_as_its_truth(seed):
    truth = make_phantom(seed, matrix=24, focal=True).truth
    report = study_findings(truth, np.random.default_rng(seed))
    assert said(report) == {words(mention) for mention in true_mentions(truth)}


def test_every_report_of_the_embedded_model_s_phantoms_reads_as_its_truth():
    rng = np.random.default_rng(4)
    for _ in range(300):
        truth = draw_truth(rng)
        assert said(report_text(truth, rng)) == {words(m) for m in true_mentions(truth)}


def test_every_report_of_a_detailed_phantom_reads_as_its_truth():
    rng = np.random.default_rng(5)
    for seed in range(300):
        truth = draw_study(seed).truth
        # the reports name no sizes
        planted = {words(replace(m, size_mm=None)) for m in true_mentions(truth)}
        assert said(report_text(truth, rng)) == planted


def test_the_vocabulary_covers_the_phantoms_and_what_ct_commonly_shows():
    known = default_vocabulary().findings
    assert len(known) == len(set(known)) >= 50
    assert {"pneumothorax", "kidney stone", "fracture", "aortic dissection"} <= set(known)


def test_another_vocabulary_can_be_used():
    cyst = {"terms": ["cysts?"], "organs": ["jaw"], "sided": True}
    own = parse_vocabulary({"organs": {"jaw": "jaw"}, "findings": {"jaw cyst": cyst}})
    (mention,) = read_findings("Cyst of the left jaw.", own)
    assert mention == Mention("jaw cyst", "present", "left")
