"""What a text says is there, as the finding score reads it."""

from training.evaluation.findings.reader import read_findings


def asserted(report: str) -> frozenset[tuple[str, str | None]]:
    """Return (finding, side) of everything that a report says is there."""
    return frozenset((m.finding, m.side) for m in read_findings(report) if m.status == "present")
