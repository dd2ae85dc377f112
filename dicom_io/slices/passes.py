"""Several passes over a patient in one series: told apart, or recognised as one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import DicomError
from dicom_io.slices.gaps import MOST_MISSING_TOGETHER
from dicom_io.slices.slices import Slice

FEWEST_OF_A_STACK = 5
"""An even stack is not torn into less than a volume."""

SAME_POSITION_MM = 0.05
"""Distance along the normal up to which two slices count as lying at one position."""

# Distances vary by rounding, well under a twentieth; one in ten may be a gap or another protocol
_EVEN_SHARE, _EVEN = 0.9, 0.05
# What is put between two slices is at most half a distance from one of them
_STUFFED = 0.75
# Steps of one sweep differ less: by rounding, or where the protocol drifts
_STEADY = 0.25
# Up to so much of a usual distance nothing lies between two neighbours: beyond, a slice may
_NEIGHBOURS = 1.5
# Slabs of one acquisition share a slice or two at their ends, long ones a tenth
_SLAB_ENDS, _SLAB_SHARE = 2, 0.1
_FEWEST_OF_A_PASS = 3  # two slices are even whatever they are
# Thicknesses that differ by rounding are one, and so are fields that drift with a tilted gantry
_SAME_THICKNESS_MM, _SAME_PLACE_MM = 0.1, 2.0

# What is of one pass, or of images of another purpose; the most telling first
_OF_A_PASS = (
    "SeriesDescription",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "IrradiationEventUID",
    "AcquisitionDateTime",
    "FrameAcquisitionDateTime",
    "AcquisitionTime",
    "SeriesTime",
    "KVP",
    "TableHeight",
    "ContrastBolusAgent",
    "FilterType",
    "ReconstructionDiameter",
)
# When a phase is; the others are numbers
_CLOCK_TIMES = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")
TIMES = ("TemporalPositionTimeOffset", "TriggerTime", *_CLOCK_TIMES)
"""Attributes that tell when a slice was acquired, or when in the cycle of the heart."""
_CLOCK = re.compile(r"(?:\d{6}(\d\d))?(\d\d)(\d\d)(\d\d(?:\.\d+)?)")
# What varies within one pass, too: with the heart, and with the order of reconstruction
_WHERE_UNEVEN = ("TriggerTime", "ContentTime")

Part = NDArray[np.intp]
"""Indices of slices in their group."""


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Where each slice lies on the normal of the first, mm."""
    return np.array([one.position for one in slices]) @ slices[0].normal


def repeated_positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that share a position, a list for each position that is taken more than once."""
    return [there for there in at_positions(slices) if len(there) > 1]


def at_positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices at each position along the normal, in their order."""
    places = along_normal(slices)
    order = np.argsort(places, kind="stable")
    starts = np.diff(places[order], prepend=-np.inf) > SAME_POSITION_MM
    found: list[list[Slice]] = []
    for k, begins in zip(order, starts, strict=True):
        if begins:
            found.append([])
        found[-1].append(slices[k])
    return found


def split_passes(slices: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """Separate passes over one range, and images of another purpose among them.

    Passes are told apart by what names them, by the order of their times, by the order of their
    numbers. Parts that follow one another (step-and-shoot, one pass after the other) stay together;
    where they overlap at their ends, the earlier one keeps the place. What nothing tells apart
    stays together, to be refused where positions repeat.
    """
    group = sorted(slices, key=lambda one: (one.number, one.instance.sop_instance_uid))
    for passes in _evidence(group):
        if len(passes) > 1:
            return [stack for one in passes for stack in split_passes([group[k] for k in one])]
    repeated = repeated_positions(group)
    extra = sum(len(there) - 1 for there in repeated)
    # a few slices were sent twice
    return _by_turn(group) if repeated and extra <= _SLAB_SHARE * len(group) else [tuple(group)]


def _evidence(group: Sequence[Slice]) -> Iterator[list[Part]]:
    """Ways to separate a group in the order of its numbers; one that finds nothing gives one."""
    places = along_normal(group)
    clean = _is_clean(places) and not repeated_positions(group)
    for labels in () if clean else _kinds(group):
        yield _passes(places, _partition(labels))
    for keyword in () if clean else TIMES:
        yield _passes(places, _apart_in_time(group, keyword))
    for keyword in _OF_A_PASS if clean else (*_OF_A_PASS, *_WHERE_UNEVEN):
        if _is_written_alike(group, keyword):
            continue
        values = [_value(one, keyword) for one in group]
        parts = sorted(_partition(values), key=lambda part: values[part[0]])
        # a value of each slice's own tells nothing but an order
        if 1 < len(parts) <= len(group) / 2:
            yield _passes(places, parts)
        elif len(parts) > 1:
            yield _sweeps(places, np.concatenate(parts), clean)
    if len({one.number for one in group}) == len(group):
        yield _sweeps(places, np.arange(len(group)), clean)


def _kinds(group: Sequence[Slice]) -> Iterator[Sequence[Hashable]]:
    """What may differ within one pass, and separates only what is no even stack together."""
    thickness = np.array([[one.thickness or 0.0] for one in group])
    yield _clusters(thickness, _SAME_THICKNESS_MM)
    yield ["DERIVED" in one.image_type for one in group]
    corners = np.array([[one.position @ one.row, one.position @ one.column] for one in group])
    yield _clusters(corners, _SAME_PLACE_MM)


def _clusters(values: NDArray[np.float64], tolerance: float) -> list[int]:
    """For each row the number of the first one that it equals within a tolerance."""
    found = np.full(len(values), -1)
    while (free := np.flatnonzero(found < 0)).size:
        first = free[0]
        near = np.abs(values[free] - values[first]).max(axis=1) <= tolerance
        found[free[near]] = first
    return found.tolist()


def _is_written_alike(group: Sequence[Slice], keyword: str) -> bool:
    """Whether an attribute stands in all slices as it does in the first, before it is converted."""
    first = group[0].written(keyword)
    return all(one.written(keyword) == first for one in group)


def _apart_in_time(group: Sequence[Slice], keyword: str) -> list[Part]:
    """Parts between the longest pauses, if each has one slice of a position; else one part.

    Times of one phase vary, with the heart and with the table: they need not be equal, only nearer
    to each other than to those of the next phase.
    """
    everything = [np.arange(len(group))]
    positions = at_positions(group)
    count = max(map(len, positions))
    short = sum(len(there) < count for there in positions)
    few = len(positions) < FEWEST_OF_A_STACK
    if few or count < 2 or short > max(1, _SLAB_SHARE * len(positions)):
        return everything
    moments = {id(one): moment_of(one, keyword) for one in group}
    if None in moments.values():
        return everything
    times = np.array([moments[id(one)] for one in group], float)
    order = np.argsort(times, kind="stable")
    pauses = np.argsort(np.diff(times[order]))[1 - count :]
    phase = np.searchsorted(np.sort(pauses), np.arange(len(group)) - 1, side="right")
    of = {id(group[k]): int(number) for k, number in zip(order, phase, strict=True)}
    if any(len({of[id(one)] for one in there}) < len(there) for there in positions):
        return everything
    return _partition([of[id(one)] for one in group])


def moment_of(one: Slice, keyword: str) -> float | None:
    """A time in seconds, from any origin; a number as it stands; None where it is neither.

    DT and TM (PS3.5 6.2) end with HHMMSS and a fraction; of a date the day is enough.
    """
    text = one.text_of(keyword)
    if keyword not in _CLOCK_TIMES:
        return one.number_of(keyword)
    if (found := _CLOCK.match(text)) is None:
        return None
    day, hours, minutes, seconds = found.groups()
    return 86400.0 * int(day or 0) + 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _value(one: Slice, keyword: str) -> tuple[float, str]:
    """A value to sort by: numbers as numbers, all else as it is written."""
    try:
        value = one.attribute(keyword)
    except DicomError:
        return 0.0, ""
    try:
        return (0.0 if value is None else float(value)), ""
    except (ValueError, TypeError, OverflowError):
        return 0.0, str(value)


def _partition(labels: Sequence[Hashable]) -> list[Part]:
    parts: dict[Hashable, list[int]] = defaultdict(list)
    for k, label in enumerate(labels):
        parts[label].append(k)
    return [np.array(part) for part in parts.values()]


def _passes(places: NDArray[np.float64], parts: Sequence[Part]) -> list[Part]:
    """Put parts together that continue one another; what they share goes to the earlier one."""
    passes: list[Part] = []
    shared: list[Part] = []
    for part in parts:
        found = [
            (_apart_mm(places[part], places[one]), -k, inside)
            for k, one in enumerate(passes)
            if (inside := _shared_ends(places[part], places[one])) is not None
        ]
        if not found:
            passes.append(part)
            continue
        # the nearest, and of several the last
        _, k, inside = min(found, key=lambda pass_: pass_[:2])
        passes[-k] = np.concatenate([passes[-k], part[~inside]])
        shared.append(part[inside])
    strays = np.concatenate([*shared, np.array([], np.intp)])
    return [*passes, strays] if len(strays) else passes


def _shared_ends(
    part: NDArray[np.float64], before: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Which slices of `part` lie within `before`, if it continues it; None if it is a pass."""
    inside = _within(part, before)
    count = int(inside.sum())
    if count > len(part) / 2 or _within(before, part).sum() > len(before) / 2:
        return None
    ends = max(_SLAB_ENDS, _SLAB_SHARE * min(len(part), len(before)))
    joined = np.concatenate([before, part[~inside]])
    return inside if count <= ends or _is_even(joined) else None


def _within(here: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which places are one of `others`, or lie between two neighbours among them."""
    there = np.sort(others)
    after = np.searchsorted(there, here)
    below, above = there[(after - 1).clip(0)], there[after.clip(max=len(there) - 1)]
    steps = _steps(there)
    usual = float(np.median(steps)) if len(steps) else 0.0
    at = np.minimum(np.abs(here - below), np.abs(here - above)) <= SAME_POSITION_MM
    between = (below < here) & (here < above) & (above - below <= _NEIGHBOURS * usual)
    result: NDArray[np.bool_] = at | between
    return result


def _apart_mm(part: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Distance of two ranges; 0 where they overlap."""
    return float(max(part.min() - other.max(), other.min() - part.max(), 0.0))


def _sweeps(places: NDArray[np.float64], order: Part, clean: bool) -> list[Part]:
    """Cut a sequence where its step changes, and join what continues; one part unless all is even.

    An even stack is not torn where the order leaves slices over: it is then an order of nothing.
    """
    sweeps = _steady(places, order)
    runs = [one for one in sweeps if len(one) >= _FEWEST_OF_A_PASS]
    rest = [k for one in sweeps if len(one) < _FEWEST_OF_A_PASS for k in one.tolist()]
    few = max(_FEWEST_OF_A_PASS, int(_SLAB_SHARE * len(order)))
    if len(rest) > (few if clean else len(order) / 2):  # an order at random
        return [order]
    passes = [one.tolist() for one in _passes(places, runs)]
    strays = [k for k in rest if not any(_regained(places, k, one) for one in passes)]
    fewest, most = (FEWEST_OF_A_STACK, 0) if clean else (_FEWEST_OF_A_PASS, few)
    whole = all(len(one) >= fewest and _is_even(places[one]) for one in passes)
    if not whole or len(strays) > most:
        return [order]
    # what looked like a pass before it was whole may fill a hole of another
    return [
        *_passes(places, [np.array(one) for one in passes]),
        *([np.array(strays)] * bool(strays)),
    ]


def _steady(places: NDArray[np.float64], order: Part) -> list[Part]:
    """Cut a sequence where its step changes by more than slices that are missing."""
    cuts: list[int] = []
    steps = np.diff(places[order])
    longest = (MOST_MISSING_TOGETHER + 1.5) * np.median(np.abs(steps)) if len(steps) else 0.0
    before, known = 0.0, 0  # any step of moderate length may be the first of a sweep
    for k, step in enumerate(steps.tolist(), start=1):
        first = not known and abs(step) <= longest
        if first or (known == 1 and _is_multiple(before, step)):
            before = step
        elif not known or not _is_multiple(step, before):
            cuts.append(k)
            known = -1
        known += 1
    return np.split(order, cuts)


def _is_multiple(step: float, of: float) -> bool:
    """Whether a step is another one, or two or three of it."""
    whole = round(step / of) if of else 0
    return 1 <= whole <= MOST_MISSING_TOGETHER + 1 and abs(step / of - whole) <= _STEADY


def _regained(places: NDArray[np.float64], k: int, sweep: list[int]) -> bool:
    """Give a sweep a slice back that continues it evenly, cut off with a stray beside it."""
    fits = not _within(places[[k]], places[sweep])[0] and _is_even(places[[*sweep, k]], share=1.0)
    if fits:
        sweep.append(k)
    return fits


def _is_even(places: NDArray[np.float64], share: float = _EVEN_SHARE) -> bool:
    """Whether all but a few distances between neighbours are equal, or leave one or two out."""
    steps = _steps(np.sort(places))
    if not len(steps):
        return False
    ratios = steps / np.median(steps)
    whole = np.rint(ratios).clip(1, MOST_MISSING_TOGETHER + 1)
    return bool((np.abs(ratios - whole) <= _EVEN * whole).mean() >= share)


def _is_clean(places: NDArray[np.float64]) -> bool:
    """Whether a stack is even and nothing was put between its slices."""
    steps = _steps(np.sort(places))
    return _is_even(places) and bool(steps.min() >= _STUFFED * np.median(steps))


def _steps(in_order: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between neighbouring positions."""
    steps = np.diff(in_order)
    return steps[steps > SAME_POSITION_MM]


def _by_turn(group: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """The first slice at each position by number, then the second, and so on."""
    turn: dict[int, int] = {}
    for there in repeated_positions(group):
        turn |= {id(one): k for k, one in enumerate(there)}
    return [
        tuple(group[k] for k in part)
        for part in _partition([turn.get(id(one), 0) for one in group])
    ]
