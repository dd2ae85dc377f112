"""What radiologists write by habit: broken lines, two sides, caveats, advice, what is known."""

import pytest

from training.evaluation.findings.labels import CT_RATE, labels_of
from training.evaluation.findings.reader import Mention, read_findings
from training.evaluation.findings.vocabulary import default_vocabulary


def words(mention: Mention) -> str:
    size = None if mention.size_mm is None else f"{mention.size_mm:g}"
    return " ".join(part for part in (mention.side, mention.finding, size) if part)


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("There is no\npleural effusion.", set()),
        ("No evidence of\nPneumothorax or effusion.", set()),
        ("Without\nlymphadenopathy.", set()),
        ("The pleural effusion has not resolved.", {"pleural effusion"}),
        ("Left pneumothorax has not yet cleared.", {"left pneumothorax"}),
        ("Partially resolved right pneumothorax.", {"right pneumothorax"}),
        ("Unresolved left lower lobe pneumonia.", {"left consolidation"}),
        ("No resolution of the ascites.", {"ascites"}),
        ("Incomplete resolution of the right effusion.", {"right pleural effusion"}),
        ("Interval resolution of the right effusion.", set()),
        ("Resolved left pneumothorax.", set()),
        ("The effusion has resolved and the consolidation persists.", {"consolidation"}),
        (
            "Moderate right and small left pleural effusions.",
            {"left pleural effusion", "right pleural effusion"},
        ),
        (
            "right and small left pleural effusions",
            {"left pleural effusion", "right pleural effusion"},
        ),
        (
            "Pleural effusions, right greater than left.",
            {"left pleural effusion", "right pleural effusion"},
        ),
        ("Pleural effusions (R>L).", {"left pleural effusion", "right pleural effusion"}),
        ("On the left there is a small effusion, none on the right.", {"left pleural effusion"}),
        ("Pleural effusion on the left, none on the right.", {"left pleural effusion"}),
        ("Pleural effusion on the right but not on the left.", {"right pleural effusion"}),
        ("Left pleural effusion. No right effusion.", {"left pleural effusion"}),
        ("Left effusion, no right effusion.", {"left pleural effusion"}),
        ("Heart: enlarged.", {"cardiomegaly"}),
        ("Heart: mildly enlarged. Pleura: no effusion.", {"cardiomegaly"}),
        ("Spleen: enlarged.", {"splenomegaly"}),
        ("Liver: diffuse steatosis.", {"hepatic steatosis"}),
        ("Lungs: clear. Pleura: small left effusion.", {"left pleural effusion"}),
        ("Ascites: none.", set()),
        ("RLL consolidation.", {"right consolidation"}),
        ("LLL atelectasis and RUL nodule, 6 mm.", {"left atelectasis", "right pulmonary nodule 6"}),
        ("6 mm nodule in the lingula.", {"left pulmonary nodule 6"}),
        ("Small nodules may be missed on this motion-degraded study.", set()),
        ("Evaluation for pulmonary embolism is limited by motion.", set()),
        ("Limited evaluation for pulmonary embolism.", set()),
        ("The study is not optimized for pulmonary embolism.", set()),
        ("CT is not sensitive for acute infarct.", set()),
        ("Pulmonary embolism cannot be assessed without contrast.", set()),
        ("If there is clinical concern for pulmonary embolism, a CTA is advised.", set()),
        ("Follow-up CT recommended to exclude metastasis in the liver.", set()),
        ("Recommend ultrasound to evaluate for gallstones.", set()),
        ("Clinical correlation for pneumonia is recommended.", set()),
        ("Known pulmonary nodule for follow-up.", set()),
        ("Known aortic aneurysm, for follow-up.", set()),
        ("Known left renal cyst, unchanged.", {"left renal cyst"}),
        ("Unchanged known 4.5 cm aortic aneurysm.", {"aortic aneurysm 45"}),
        ("History of right pneumothorax.", set()),
        (
            "Compared to the prior study the right effusion has increased.",
            {"right pleural effusion"},
        ),
        ("Previously seen left effusion is no longer present.", set()),
        ("Nodule seen on the prior CT is not visualized.", set()),
        ("Possible left lower lobe pneumonia.", set()),
        ("Pneumonia cannot be excluded.", set()),
        ("CT does not exclude early pneumonia.", set()),
        ("Findings consistent with pulmonary embolism.", {"pulmonary embolism"}),
        ("No significant change in the left pleural effusion.", {"left pleural effusion"}),
        ("No improvement in the right consolidation.", {"right consolidation"}),
        ("The heart is not enlarged.", set()),
        ("The left nodule is not enlarged.", {"left pulmonary nodule"}),
        ("Neither effusion nor pneumothorax.", set()),
        (
            "Two nodules: 4 mm in the RUL and 8 mm in the LLL.",
            {"right pulmonary nodule 4", "left pulmonary nodule 8"},
        ),
        (
            "Nodules measure 4 mm in the RUL, 5 mm in the lingula and 9 mm in the RLL.",
            {"right pulmonary nodule 4", "left pulmonary nodule 5", "right pulmonary nodule 9"},
        ),
        (
            "Renal cysts, on the right 12 mm and on the left 30 mm.",
            {"right renal cyst 12", "left renal cyst 30"},
        ),
        ("Left nodule, 8 mm, previously 4 mm.", {"left pulmonary nodule 8"}),
        ("Lungs are free of nodules.", set()),
        (
            "No focal consolidation, effusion, or pneumothorax. Small hiatal hernia.",
            {"hiatal hernia"},
        ),
        ("There is a left pleural effusion but no pneumothorax.", {"left pleural effusion"}),
        ("Cholelithiasis without cholecystitis.", {"gallstone"}),
        ("Status post splenectomy; no splenomegaly.", set()),
        (
            "The right kidney shows a 3 mm stone, the left kidney is normal.",
            {"right kidney stone 3"},
        ),
        ("Both kidneys contain cysts.", {"left renal cyst", "right renal cyst"}),
        ("Left kidney: 2 cm cyst. Right kidney: normal.", {"left renal cyst 20"}),
        ("Small amount of pleural fluid on the right.", {"right pleural effusion"}),
        ("No definite pulmonary nodule.", set()),
        ("Effusion: yes.", {"pleural effusion"}),
        ("Mild cardiomegaly and widened mediastinum are stable.", {"cardiomegaly"}),
        ("Effusion is gone.", set()),
        ("Pneumothorax (-).", set()),
        ("Improved right effusion.", {"right pleural effusion"}),
        ("Decreasing left pleural effusion.", {"left pleural effusion"}),
        ("Small hydropneumothorax on the left.", {"left pneumothorax"}),
        ("FINDINGS:\nNo\npneumothorax.\nIMPRESSION:\nNo acute\nfracture.", set()),
        (
            "1. No pneumothorax\n2. Small left effusion\n3. Cardiomegaly",
            {"left pleural effusion", "cardiomegaly"},
        ),
        ("Liver normal\nSpleen enlarged\nNo ascites", {"splenomegaly"}),
        ("Indication: pneumonia. Findings: clear lungs.", set()),
        ("COMPARISON: CT of May showed effusion.\n\nThe heart is enlarged.", {"cardiomegaly"}),
        (
            "Patchy left basilar opacity, likely atelectasis.",
            {"left lung opacity", "left atelectasis"},
        ),
        ("Left effusion has resolved; right effusion persists.", {"right pleural effusion"}),
        ("Pneumonia is less likely.", set()),
        ("No longer any ascites.", set()),
        (
            "Nodule in the right upper lobe, 6 mm; recommend follow-up in 6 months.",
            {"right pulmonary nodule 6"},
        ),
        ("A 6 mm nodule for which follow-up is recommended.", {"pulmonary nodule 6"}),
        ("Right nodule measuring\n8 mm.", {"right pulmonary nodule 8"}),
        ("Left-sided, moderate-sized pleural effusion.", {"left pleural effusion"}),
        ("L pleural effusion.", {"left pleural effusion"}),
        (
            "Bilateral effusions, larger on the left.",
            {"left pleural effusion", "right pleural effusion"},
        ),
        ("Effusions bilaterally.", {"left pleural effusion", "right pleural effusion"}),
        ("There are no enlarged lymph nodes.", set()),
        ("Hepatic steatosis is not seen.", set()),
        (
            "No cardiomegaly or effusion is identified; atelectasis at the left base.",
            {"left atelectasis"},
        ),
    ],
)
def test_a_habit_is_read_as_it_is_meant(text, present):
    assert {words(m) for m in read_findings(text) if m.status == "present"} == present


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A central venous catheter ends in the vena cava.", "Medical material"),
        ("Calcified plaques of the aortic arch.", "Arterial wall calcification"),
        ("The heart size is increased.", "Cardiomegaly"),
        ("Minimal pericardial effusion.", "Pericardial effusion"),
        ("Coronary artery wall calcifications.", "Coronary artery wall calcification"),
        ("Sliding hiatal hernia.", "Hiatal hernia"),
        ("Enlarged mediastinal lymph nodes.", "Lymphadenopathy"),
        ("Bullous changes of both apices.", "Emphysema"),
        ("Linear atelectatic changes.", "Atelectasis"),
        ("A nodule of 4 mm in the left lower lobe.", "Lung nodule"),
        ("Patchy opacities in the right lung.", "Lung opacity"),
        ("Ground-glass opacities in both lungs.", "Lung opacity"),
        ("Fibrotic bands in the left upper lobe.", "Pulmonary fibrotic sequela"),
        ("Bilateral pleural effusions.", "Pleural effusion"),
        ("Mosaic attenuation pattern of both lungs.", "Mosaic attenuation pattern"),
        ("Peribronchial thickening is seen.", "Peribronchial thickening"),
        ("Consolidation of the right lower lobe.", "Consolidation"),
        ("Bronchiectatic changes of the lingula.", "Bronchiectasis"),
        ("Thickening of the interlobular septa.", "Interlobular septal thickening"),
    ],
)
def test_every_label_of_ct_rate_is_read_alone(text, label):
    said = labels_of(read_findings(text))
    assert [name for name, there in said.items() if there] == [label]
    negated = labels_of(read_findings(f"There is no {text[0].lower()}{text[1:]}"))
    assert not negated[label]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (
            "Trachea and both main bronchi are open. No occlusive pathology was "
            "observed in the trachea and both main bronchi.",
            [],
        ),
        (
            "Mediastinal main vascular structures, heart contour, size are "
            "normal. Pericardial effusion-thickening was not observed.",
            [],
        ),
        (
            "Calcific atheroma plaques are observed in the aortic arch and coronary arteries.",
            ["Arterial wall calcification", "Coronary artery wall calcification"],
        ),
        (
            "Calcified atherosclerotic changes are observed in the wall of the thoracic aorta.",
            ["Arterial wall calcification"],
        ),
        ("Heart size increased.", ["Cardiomegaly"]),
        ("The heart is larger than normal.", ["Cardiomegaly"]),
        (
            "No enlarged lymph nodes in prevascular, pre-paratracheal, "
            "subcarinal or bilateral hilar-axillary pathological dimensions were detected.",
            [],
        ),
        ("There are lymph nodes in the mediastinum with short diameters below 1 cm.", []),
        ("Multiple lymphadenopathies in the mediastinum, the largest 18 mm.", ["Lymphadenopathy"]),
        (
            "Sequelae fibrotic density increases are observed in the apical "
            "segments of both lungs.",
            ["Pulmonary fibrotic sequela"],
        ),
        (
            "Pleuroparenchymal sequela fibrotic recessions in the left upper lobe.",
            ["Pulmonary fibrotic sequela"],
        ),
        (
            "Linear atelectasis areas were observed in the lower lobes of both lungs.",
            ["Atelectasis"],
        ),
        ("Millimetric nonspecific nodules were observed in both lungs.", ["Lung nodule"]),
        (
            "A 4 mm nonspecific nodule is observed in the anterior segment of "
            "the right lung upper lobe.",
            ["Lung nodule"],
        ),
        ("Bilateral peribronchial thickening is observed.", ["Peribronchial thickening"]),
        ("Thickening of the bronchial walls in both lungs.", ["Peribronchial thickening"]),
        (
            "Interlobular septal thickenings are seen in the bases.",
            ["Interlobular septal thickening"],
        ),
        (
            "Crazy paving pattern is observed in the right lower lobe.",
            ["Interlobular septal thickening"],
        ),
        ("Mosaic attenuation pattern is present in both lungs.", ["Mosaic attenuation pattern"]),
        (
            "A sliding type hiatal hernia is observed at the lower end of the esophagus.",
            ["Hiatal hernia"],
        ),
        ("Hiatus hernia is present.", ["Hiatal hernia"]),
        (
            "A port chamber is observed in the right chest wall, the catheter "
            "tip is in the superior vena cava.",
            ["Medical material"],
        ),
        ("Sternal suture materials due to bypass are observed.", ["Medical material"]),
        ("There is a stent in the LAD.", ["Medical material"]),
        ("Ground glass densities are observed in both lungs.", ["Lung opacity"]),
        (
            "Patchy ground-glass consolidations in both lungs, compatible with Covid-19 pneumonia.",
            ["Lung opacity", "Consolidation"],
        ),
        ("Emphysematous changes are observed in both lungs.", ["Emphysema"]),
        (
            "Paraseptal emphysema in the upper lobes; bulla formation in the right apex.",
            ["Emphysema"],
        ),
        (
            "Bilateral pleural effusion reaching 3 cm in its thickest part on "
            "the right and 1 cm on the left.",
            ["Pleural effusion"],
        ),
        ("Pleural effusion-thickening was not observed in both hemithorax.", []),
        ("There is no mass or infiltrative lesion in both lungs.", []),
        ("No active infiltration or mass lesion was detected in both lung parenchyma.", []),
        (
            "Ventilation of both lungs is normal and no nodular or infiltrative "
            "lesion is detected.",
            [],
        ),
        ("Minimal bronchiectatic changes are observed in the lower lobes.", ["Bronchiectasis"]),
        ("Pericardial effusion with a thickness of 8 mm is observed.", ["Pericardial effusion"]),
        ("Minimal effusion is observed in the pericardial space.", ["Pericardial effusion"]),
        ("Consolidation with air bronchograms in the left lower lobe.", ["Consolidation"]),
        (
            "When examined in the lung parenchyma window; aeration of both lung "
            "parenchyma is normal.",
            [],
        ),
        ("As far as can be observed, the upper abdominal organs are normal.", []),
        ("Liver parenchyma density decreased in line with adiposity.", []),
        ("Thyroid nodule 12 mm.", []),
        ("Nodular consolidation in the right lung.", ["Consolidation"]),
        ("Coronary arteries are calcified.", ["Coronary artery wall calcification"]),
        (
            "Calcifications in the wall of the aorta and coronary vessels.",
            ["Arterial wall calcification", "Coronary artery wall calcification"],
        ),
        ("Tracheostomy cannula is present.", ["Medical material"]),
        ("A nasogastric catheter is observed.", ["Medical material"]),
        ("Infiltrative density increases in the right lung.", ["Lung opacity"]),
        (
            "Areas of increased density compatible with infection in the left lower lobe.",
            ["Lung opacity"],
        ),
    ],
)
def test_the_labels_are_read_in_the_words_of_their_reports(text, labels):
    said = labels_of(read_findings(text))
    assert sorted(name for name, there in said.items() if there) == sorted(labels)


def test_every_label_has_findings_of_the_vocabulary():
    known = set(default_vocabulary().findings)
    assert all(known.issuperset(findings) for findings in CT_RATE.values())
    assert len(CT_RATE) == 18
