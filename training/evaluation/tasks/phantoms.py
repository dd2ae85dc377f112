"""What a checkpoint writes about phantoms, against what was planted in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import track

from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import Truth
from engine.protocol import ReportEngine
from training.evaluation.findings.reader import read_findings
from training.evaluation.findings.score import finding_table, true_mentions
from training.evaluation.metrics.bootstrap import Bootstrap, mean, summed
from training.evaluation.printed.tables import Table


def evaluate_phantoms(
    engine: ReportEngine, seeds: Sequence[int], *, resamples: int = 1000
) -> dict[str, Any]:
    """Let an engine report the phantoms of `seeds`, and score what it wrote.

    Only findings that the model may write count: the others it was never shown.

    Parameters
    ----------
    engine : ReportEngine
        Writes the reports.
    seeds : sequence of int
        Of the phantoms.
    resamples : int
        Of the bootstrap.

    Returns
    -------
    dict
        `tables`, and the facts beside them, in values that JSON can hold.
    """
    truths: list[Truth] = []
    texts: list[str] = []
    for seed in track(seeds, "studies", console=Console(stderr=True)):
        phantom = make_phantom(seed)
        truths.append(phantom.truth)
        texts.append(engine.report(prepare(phantom.volume, engine.preprocess)).text)
    draws = Bootstrap(tuple(map(str, seeds)), resamples)
    tables = phantom_tables(draws, truths, texts, engine.identity.findings)
    identity = asdict(engine.identity)
    return {
        "checkpoint": {key: identity[key] for key in ("name", "version", "digest")},
        "studies": len(texts),
        "abstained": texts.count(""),
        "tables": [table.to_dict() for table in tables],
        "markdown": [table.to_markdown() for table in tables],
    }


def phantom_tables(
    draws: Bootstrap, truths: Sequence[Truth], texts: Sequence[str], findings: Sequence[str]
) -> list[Table]:
    """Lay out the findings, and how often plane and phase are right.

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    truths, texts : sequence of Truth, sequence of str
        What each phantom shows, and what was written of it.
    findings : sequence of str
        Which are counted.
    """
    said = [read_findings(text) for text in texts]
    title = f"Findings of {len(texts)} phantoms, {texts.count('')} abstained"
    found = finding_table(draws, [true_mentions(t) for t in truths], said, findings, title)
    pairs = [(t, section(text, "Technique")) for t, text in zip(truths, texts, strict=True)]
    right = {
        "plane": [float(said.startswith(f"{truth.plane},")) for truth, said in pairs],
        "phase": [float(said.endswith(f", {truth.phase}.")) for truth, said in pairs],
    }
    rows = tuple((n, draws.interval(summed(r), mean).times(100)) for n, r in right.items())
    return [found, Table("technique", "Plane and phase", ("what", "right"), rows)]


def section(report: str, heading: str) -> str:
    """Return the text under a heading of `Technique: … Findings: … Impression: …`."""
    match = re.search(rf"{heading}:(.*?)(?=(?:Technique|Findings|Impression):|$)", report, re.S)
    return match[1].strip() if match else ""
