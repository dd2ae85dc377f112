"""What an archive says that it holds of a study: the best evidence of what is still to come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydicom import Dataset


def ct_inventory(series: Iterable[Dataset]) -> dict[str, int]:
    """Read the answers to a query for series: SeriesInstanceUID to number of instances.

    Series of other modalities are left out, and so are those whose number the archive does not
    tell: NumberOfSeriesRelatedInstances is optional (PS3.4 table C.6-3).
    """
    return {
        str(one.SeriesInstanceUID): int(one.NumberOfSeriesRelatedInstances)
        for one in series
        if one.get("Modality") == "CT" and one.get("NumberOfSeriesRelatedInstances") is not None
    }


def missing_from(received: Mapping[str, int], inventory: Mapping[str, int]) -> int:
    """Count the instances that the archive holds and that have not arrived here."""
    return sum(max(0, held - received.get(uid, 0)) for uid, held in inventory.items())
