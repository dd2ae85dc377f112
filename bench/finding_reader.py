"""How well the finding reader reads what others wrote: `python -m bench.finding_reader`.

The 1,000 chest reports of PyPI's `radlabels` 0.2.0 (MIT; de-identified, many cut off in the middle)
were labelled by its authors' rules. A hundred of them, drawn by `random.Random(16).sample`, were
read by a person: `finding_reader_hundred.json` holds what each asserts. "Likely" and "consistent
with" assert; "may", "could", "concerning for", "presumed" and "A and/or B" do not; history and
indication do not count. The package is fetched, not installed: its reports are not in this project.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

from training.evaluation.findings.reader import read_findings

PACKAGE = "radlabels==0.2.0"
HUNDRED = Path(__file__).with_name("finding_reader_hundred.json")
# Seen while the rules were written, before the hundred were drawn
SEEN = frozenset(
    f"synth_{number:04d}"
    for number in (
        *(6, 7, 14, 23, 29, 81, 134, 158, 177, 266, 301, 312, 317, 325, 357, 383, 427, 431, 468),
        *(484, 494, 502, 507, 617, 647, 684, 716, 809, 828, 835, 886),
    )
)
LABELS = {
    "atelectasis": ("atelectasis", "lobar_segmental_collapse", "whole_lung_or_majority_collapse"),
    "cardiomegaly": ("cardiomegaly",),
    "consolidation": ("consolidation", "air_space_opacity", "pneumonia", "infiltration"),
    "emphysema": ("emphysema", "bullous_disease"),
    "fracture": ("acute_rib_fracture", "non_acute_rib_fracture", "fracture_generic"),
    "pleural effusion": ("pleural_effusion",),
    "pneumoperitoneum": ("pneumoperitoneum",),
    "pneumothorax": ("pneumothorax",),
    "pulmonary nodule": ("lung_nodule_or_mass", "lung_lesion"),
    "arterial wall calcification": ("calcification_of_the_aorta",),
}
"""The findings that are counted, and what radlabels calls them."""

_SAME = {"lung mass": "pulmonary nodule"}


@dataclass
class Agreement:
    """Counts by finding, and reports of which one side says what the other denies."""

    right: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    denied: int = 0

    def add(self, wanted: Iterable[str], said: Iterable[str]) -> None:
        """Count one report."""
        self.right.update(set(wanted) & set(said))
        self.extra.update(set(said) - set(wanted))
        self.missed.update(set(wanted) - set(said))

    def line(self, name: str, findings: Iterable[str]) -> str:
        """Print precision, recall and F1 of some findings together."""
        right, extra, missed = (
            sum(counted[one] for one in findings)
            for counted in (self.right, self.extra, self.missed)
        )
        precision, recall, f1 = (
            _percent(right, right + extra),
            _percent(right, right + missed),
            _percent(2 * right, 2 * right + extra + missed),
        )
        return f"| {name} | {right + missed} | {precision} | {recall} | {f1} |"


def main() -> None:
    """Fetch the reports, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=Path, help="radlabels/samples, where it is here already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = asked.samples or _fetched(Path(folder))
        texts = {
            p.stem: p.read_text("utf-8") for p in (samples / "synthetic_reports").glob("*.txt")
        }
        labels = json.loads((samples / "synthetic_labels.json").read_text("utf-8"))
    hundred: dict[str, list[str]] = json.loads(HUNDRED.read_text("utf-8"))
    by_hand, unseen, by_rules = Agreement(), Agreement(), Agreement()
    for name, text in sorted(texts.items()):
        said, denied = _read(text)
        if name in hundred:
            by_hand.add(hundred[name], said)
            by_hand.denied += len(denied & set(hundred[name]))
            if name not in SEEN:
                unseen.add(hundred[name], said)
            continue
        wanted, absent = (_labelled(labels[name], what) for what in ("present", "absent"))
        by_rules.add(wanted, said)
        by_rules.denied += len(said & absent - wanted)
    for title, agreement in (
        ("Read by hand, 100 reports", by_hand),
        (
            f"Of these, {len(set(hundred) - SEEN)} that were not seen while the rules were made",
            unseen,
        ),
        ("Labelled by the rules of radlabels, 900 reports", by_rules),
    ):
        print(f"\n{title}\n\n| finding | reports | precision | recall | F1 |")
        print("| --- | --- | --- | --- | --- |")
        for finding in sorted(LABELS):
            print(agreement.line(finding, [finding]))
        print(agreement.line("all", LABELS))
    print(f"\nAsserted by hand and denied here: {by_hand.denied}")
    print(f"Asserted here and denied by radlabels: {by_rules.denied}")


def _fetched(folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(folder),
        PACKAGE,
    ]
    subprocess.run(command, check=True)
    with ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder / "radlabels" / "samples"


def _read(text: str) -> tuple[set[str], set[str]]:
    """Return the findings that a text asserts, and those that it only denies."""
    found: dict[str, set[str]] = {}
    for mention in read_findings(text):
        name = _SAME.get(mention.finding, mention.finding)
        found.setdefault(name, set()).add(mention.status)
    counted = {name: status for name, status in found.items() if name in LABELS}
    said = {name for name, status in counted.items() if "present" in status}
    return said, {name for name, status in counted.items() if status == {"absent"}}


def _labelled(labels: Mapping[str, str], what: str) -> set[str]:
    def matching() -> Iterator[str]:
        for finding, names in LABELS.items():
            if any(labels.get(name) == f"definitely {what}" for name in names):
                yield finding

    return set(matching())


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


if __name__ == "__main__":
    main()
