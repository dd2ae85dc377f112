"""Score a checkpoint on phantoms: `python -m training.evaluate --seeds 900000:900100`.

Strict: a finding counts only with its side. Prints Markdown, or JSON with `--json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track

from dicom_io.phantom import Truth, make_phantom
from dicom_io.preprocess import prepare
from engine import load_engine
from engine.protocol import ReportEngine
from training.findings import Score, asserted, section, strict_scores, true_findings


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint achieved on phantoms.

    Parameters
    ----------
    studies : int
    abstained : int
        Studies the model wrote nothing about; they count as reports without findings.
    scores : dict of str to Score
        By finding, and "all" for the micro average.
    plane, phase : float
        Fraction right.
    """

    studies: int
    abstained: int
    scores: dict[str, Score]
    plane: float
    phase: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        scores = {
            name: {"precision": s.precision, "recall": s.recall, "f1": s.f1}
            for name, s in self.scores.items()
        }
        return {
            "studies": self.studies,
            "abstained": self.abstained,
            "plane": self.plane,
            "phase": self.phase,
            "findings": scores,
        }

    def to_markdown(self) -> str:
        """Lay the figures out as a table."""
        lines = ["| finding | precision | recall | strict F1 |", "| --- | --- | --- | --- |"]
        for name, s in self.scores.items():
            lines.append(f"| {name} | {s.precision:.2f} | {s.recall:.2f} | {s.f1:.2f} |")
        lines.append("")
        lines.append(
            f"{self.studies} studies, {self.abstained} abstained; plane right in "
            f"{self.plane:.1%}, phase in {self.phase:.1%}."
        )
        return "\n".join(lines)


def evaluate(engine: ReportEngine, seeds: Sequence[int]) -> Evaluation:
    """Let an engine report the phantoms of `seeds`, and score what it wrote."""
    truths: list[Truth] = []
    texts: list[str] = []
    console = Console(stderr=True)
    for seed in track(seeds, "studies", console=console):
        phantom = make_phantom(seed)
        truths.append(phantom.truth)
        texts.append(engine.report(prepare(phantom.volume, engine.preprocess)).text)
    predictions = [asserted(section(text, "Findings")) for text in texts]
    technique = [section(text, "Technique") for text in texts]
    pairs = list(zip(truths, technique, strict=True))
    return Evaluation(
        studies=len(truths),
        abstained=texts.count(""),
        scores=strict_scores(
            [true_findings(t) for t in truths], predictions, engine.identity.findings
        ),
        plane=sum(said.startswith(f"{t.plane},") for t, said in pairs) / len(pairs),
        phase=sum(said.endswith(f", {t.phase}.") for t, said in pairs) / len(pairs),
    )


def main() -> None:
    """Read the arguments and print the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--seeds", default="900000:900100", help="first:last, half open")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split(":"))
    result = evaluate(load_engine(arguments.checkpoint), range(first, last))
    print(json.dumps(result.to_dict(), indent=2) if arguments.json else result.to_markdown())


if __name__ == "__main__":
    main()
