"""Pieces of a Structured Report (PS3.3 C.17.3)."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset


def item(kind: str, name: str, relation: str = "CONTAINS", **values: Any) -> Dataset:
    """One content item."""
    made = Dataset()
    made.ValueType, made.RelationshipType = kind, relation
    made.ConceptNameCodeSequence = [code(name)]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def container(name: str, *items: Dataset) -> Dataset:
    """A section."""
    return item("CONTAINER", name, ContentSequence=[*items])


def measured(name: str, number: str) -> Dataset:
    """A length in mm."""
    value = Dataset()
    value.NumericValue = number
    value.MeasurementUnitsCodeSequence = [code("mm")]
    return item("NUM", name, MeasuredValueSequence=[value])


def code(meaning: str) -> Dataset:
    """A code; its value is its meaning."""
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = meaning, "99TEST", meaning
    return made
