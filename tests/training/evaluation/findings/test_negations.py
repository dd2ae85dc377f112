"""Where a negation, a hedge or a side ends: the worst that a reader of findings can get wrong."""

import pytest

from training.evaluation.findings.reader import read_findings


@pytest.mark.parametrize(
    ("text", "present"),
    [
        (
            "Pulmonary embolism: No\nPneumothorax: No\nPleural effusion: Yes, left",
            {"left pleural effusion"},
        ),
        ("Pulmonary embolism - no\nEffusion - yes, right", {"right pleural effusion"}),
        ("Pneumothorax - no\nEmphysema - yes", {"emphysema"}),
        ("Emphysema - none.", set()),
        ("Emphysema: n/a", set()),
        ("Emphysema? No.", set()),
        ("[ ] Pneumothorax", set()),
        ("No pneumothorax, left basilar consolidation.", {"left consolidation"}),
        ("No pleural effusion, bibasilar atelectasis.", {"right atelectasis", "left atelectasis"}),
        ("No effusion or pneumothorax, cardiomegaly.", {"cardiomegaly"}),
        ("no effusion, LLL nodule", {"left pulmonary nodule"}),
        ("No acute fracture, chronic left rib fractures.", {"left fracture"}),
        ("No hydronephrosis, left renal cyst.", {"left renal cyst"}),
        ("No ascites, simple hepatic cyst, and no biliary dilatation.", {"hepatic cyst"}),
        ("No ascites, hepatomegaly present.", {"hepatomegaly"}),
        (
            "No pleural effusion with mild bibasilar atelectasis.",
            {"right atelectasis", "left atelectasis"},
        ),
        ("No pneumothorax or effusion, with stable RLL nodule.", {"right pulmonary nodule"}),
        ("No embolism, dissection or pneumothorax with a large hiatal hernia.", {"hiatal hernia"}),
        ("There is no pneumothorax and left pleural effusion is seen.", {"left pleural effusion"}),
        ("No effusion and bibasilar atelectasis.", {"right atelectasis", "left atelectasis"}),
        ("New small left effusion not seen on prior.", {"left pleural effusion"}),
        ("New right pneumothorax, not present on the prior.", {"right pneumothorax"}),
        ("Right-sided effusion, which was not present previously.", {"right pleural effusion"}),
        ("The right effusion, not seen previously, is now moderate.", {"right pleural effusion"}),
        ("Nodule in the right upper lobe not previously seen.", {"right pulmonary nodule"}),
        ("Nodule not seen on the prior study, 7 mm in the lingula.", {"left pulmonary nodule 7"}),
        ("Stable left effusion and resolved right effusion.", {"left pleural effusion"}),
        ("Resolved left effusion and stable right effusion.", {"right pleural effusion"}),
        ("Pleural effusion absent. Pneumothorax absent.", set()),
        ("The following are absent: pleural effusion, pneumothorax.", set()),
        ("Effusion none.", set()),
        ("No evidence for:\n- pulmonary embolism\n- dissection", set()),
        ("No: pneumothorax, effusion, consolidation", set()),
        ("There is no\n\npneumothorax", set()),
        ("There isn't any pleural effusion.", set()),
        ("There aren't nodules.", set()),
        ("Nothing to suggest pneumonia.", set()),
        ("Cannot see a pneumothorax.", set()),
        ("A left effusion could not be demonstrated.", set()),
        ("The effusions have vanished.", set()),
        ("Prior CT showed a 6 mm nodule. It has resolved.", set()),
        ("Previous CT showed a left effusion. This is no longer seen.", set()),
        ("Pneumonia is thought unlikely.", set()),
        ("Unlikely to represent pneumonia.", set()),
        ("Doubt pneumonia.", set()),
        ("Left atelectasis, pneumonia less likely.", {"left atelectasis"}),
        ("Can't exclude pneumonia.", set()),
        ("No doubt there is a pneumothorax.", {"pneumothorax"}),
        ("No prior for comparison, left lung nodule.", {"left pulmonary nodule"}),
        ("No intravenous contrast was given, liver cyst noted.", {"hepatic cyst"}),
        ("Without contrast, cysts in the right kidney.", {"right renal cyst"}),
        ("No diverticulitis despite diverticulosis.", {"diverticulosis"}),
        ("Question of small left pneumothorax.", set()),
        ("? left lower lobe consolidation", set()),
        ("Nodule 5 mm today versus 8 mm previously.", {"pulmonary nodule 5"}),
        ("Interval removal of the endotracheal tube.", set()),
        ("Removed NG tube.", set()),
        ("NG tube no longer present.", set()),
        ("Large left pneumothorax with shift to the right.", {"left pneumothorax"}),
        ("Left pneumothorax, with the right lung clear.", {"left pneumothorax"}),
        ("Left effusion, adjacent to the right-sided aorta.", {"left pleural effusion"}),
        ("Small right, but no left pleural effusion.", {"right pleural effusion"}),
        ("Moderate left and no right pleural effusion.", {"left pleural effusion"}),
        ("No left and small right pleural effusion.", {"right pleural effusion"}),
        ("Nodule decreased from 12 to 7 mm.", {"pulmonary nodule 7"}),
        ("1,2 cm nodule in the right lung.", {"right pulmonary nodule 12"}),
        ("Thyroid: 1.2 cm left lobe nodule.", {"left thyroid nodule 12"}),
        ("No consolidation, effusion, or pneumothorax.", set()),
        ("No left or right pleural effusion.", set()),
        ("No pneumothorax, pleural effusion, or focal consolidation is seen.", set()),
        ("No focal consolidation, pleural effusion or left pneumothorax.", set()),
        ("No pericardial or pleural effusion.", set()),
        ("There is no evidence of pulmonary embolism, aortic dissection, or aneurysm.", set()),
    ],
)
def test_what_is_asserted_is_neither_more_nor_less(text, present):
    said = {
        " ".join(
            part
            for part in (m.side, m.finding, None if m.size_mm is None else f"{m.size_mm:g}")
            if part
        )
        for m in read_findings(text)
        if m.status == "present"
    }
    assert said == present
