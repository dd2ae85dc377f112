"""A working folder in which reports wait for a review."""

from pathlib import Path

from training.site.deidentify.known import KnownValues
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.review import Review
from training.site.reviewing.desk import keep_proposed

KNOWN = KnownValues(names=("Whitfield^Margaret",), numbers=("00773412",))
TEXTS = {
    "s-1": "Findings: Mrs Whitfield, MRN 00773412, was seen on 12.03.2021 by Dr. Abernethy. "
    "Nodule of 7 mm.\nImpression: Benign. Told to her neighbour quixana.",
    "s-2": "Findings: Dr. Abernethy saw a cyst of 12 mm on 12.03.2021.",
    "s-3": "Findings: No pulmonary embolism. The heart is normal.",
}


def write_work(work: Path) -> Path:
    """Propose the changes to three reports, as `prepare site` does."""
    work.mkdir(exist_ok=True)
    review = Review.open(work / "review.csv")
    for study, text in TEXTS.items():
        review.propose(study, text, find_identifiers(text, KNOWN), KNOWN)
    review.save()
    keep_proposed(work, review, dict.fromkeys(TEXTS, KNOWN))
    return work
