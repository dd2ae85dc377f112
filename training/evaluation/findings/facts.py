"""Which findings a study of a store shows: as it was made, or as its report says."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_io.phantoms.truth import Truth
from engine.judgement.phrasing import ABSENT, PRESENT
from training.data.store import Store
from training.evaluation.findings.reader import read_findings
from training.export.phrasings import phantom_facts


def facts_of(store: Store, key: str, findings: Sequence[str]) -> dict[str, str]:
    """Return the true fact of each finding that is known of an image.

    Parameters
    ----------
    store : Store
        Of phantoms, whose truth is kept, or of studies with reports.
    key : str
        Of the image.
    findings : sequence of str
        Which are asked for.

    Returns
    -------
    dict of str to str
        "absent", "present", or a side of a phantom's finding. What a report does not mention is
        absent; what it is not certain of is left out.
    """
    if truth := store.images[key].origin.get("truth"):
        known = phantom_facts(Truth.from_dict(truth))
        return {finding: known[finding] for finding in findings if finding in known}
    said = {finding: set[str]() for finding in findings}
    for mention in read_findings(store.report(key)):
        if mention.finding in said:
            said[mention.finding].add(mention.status)
    return {
        finding: PRESENT if "present" in statuses else ABSENT
        for finding, statuses in said.items()
        if "uncertain" not in statuses or "present" in statuses
    }
