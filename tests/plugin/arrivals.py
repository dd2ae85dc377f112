"""Arrivals as the receiver hands them to the intake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from plugin.reception.header import Header
from plugin.reception.intake import Arrival
from plugin.state.completeness import Patience

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
PATIENCE = Patience(timedelta(seconds=60), timedelta(seconds=600))
CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"


def arrival(number: int = 1, *, study: str = "1.2", association: str | None = None) -> Arrival:
    header = Header(CT, f"{study}.9.{number}", study, f"{study}.5", "CT", "A1", own=False)
    syntax = "1.2.840.10008.1.2.1"
    return Arrival(header, syntax, f"instances/{number}.dcm", 10, f"{number:064x}", association)


def document(number: int, **header: object) -> Arrival:
    base = arrival(number)
    return replace(base, header=replace(base.header, sop_class_uid=ENHANCED_SR, **header))
