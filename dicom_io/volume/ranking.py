"""In which order a reader would take stacks, and why one is better than another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_io.values import whole_number
from dicom_io.volume.stacks import Stack

# Reconstructions of one range lose a few slices at its ends, never a fifth of it
_WHOLE_COVERAGE = 0.8
# Fitted to the body, a field is seldom under two thirds of the widest; to a heart or spine, half
_WHOLE_FIELD = 0.6
# A stack of less than half the length, such as bolus monitoring, sets no measure for the field
_MEASURES_FIELD = 0.5
# Energies graded below look like the usual spectrum
_OTHER_CONTRAST = 2.0


@dataclass(frozen=True)
class Measure:
    """What coverage is compared to: the longest stack, and the widest field, of the best kind."""

    length_mm: float = 0.0
    field_mm: float = 0.0

    @classmethod
    def of(cls, stacks: Sequence[Stack]) -> Measure:
        """Measure those that are axial and no attenuation correction, if there are any."""
        best = min((_kind(stack) for stack in stacks), default=None)
        alike = [stack for stack in stacks if _kind(stack) == best]
        longest = max((stack.extent_mm for stack in alike), default=0.0)
        long = [stack for stack in alike if stack.extent_mm >= _MEASURES_FIELD * longest]
        field = max((stack.field_mm for stack in long), default=0.0)
        wide = (s.extent_mm for s in alike if s.field_mm >= _WHOLE_FIELD * field)
        return cls(max(wide, default=0.0), field)


def ranked(stacks: Sequence[Stack]) -> list[Stack]:
    """The stacks, the one that a reader would take first."""
    measure = Measure.of(stacks)
    return sorted(stacks, key=lambda stack: _rank(stack, measure))


def drawback(stack: Stack, best: Stack, measure: Measure) -> str:
    """That it shows another range, or the first point in which `best` is better, in words.

    Parameters
    ----------
    stack, best : Stack
        One that was not taken, and the one that was.
    measure : Measure
        The longest extent and the widest field of all stacks.
    """
    if stack.is_beside(best):
        return "another range of the body"
    points = zip(_rank(stack, measure), _rank(best, measure), _REASONS, strict=True)
    reason = next((say for mine, its, say in points if mine != its), _REASONS[-1])
    return reason(stack, best)


def _kind(stack: Stack) -> tuple[bool, bool]:
    return stack.plane != "axial", stack.is_attenuation_correction


def _rank(stack: Stack, measure: Measure) -> tuple[Any, ...]:
    """Sort key, the best first; the order is that of `_REASONS`."""
    energy = stack.energy.grade
    return (
        *_kind(stack),
        stack.field_mm < _WHOLE_FIELD * measure.field_mm,
        stack.extent_mm < _WHOLE_COVERAGE * measure.length_mm,
        energy if energy >= _OTHER_CONTRAST else 0.0,
        stack.phase_distance,
        stack.sharpness == "sharp",
        energy,
        stack.derived,
        stack.sharpness == "unknown",
        round(stack.thickness_mm, 1),
        -len(stack.slices),
        stack.lossy,
        (
            whole_number(stack.series.header, "SeriesNumber", 0),
            stack.series.series_instance_uid,
            min(one.number for one in stack.slices),
            min(instance.sop_instance_uid for instance in stack.series.instances),
        ),
    )


def _by_kernel(stack: Stack, best: Stack) -> str:
    return f"{stack.sharpness} kernel {stack.kernel or '(not named)'}, and a softer one exists"


def _by_energy(stack: Stack, best: Stack) -> str:
    return f"{stack.energy.name}, and {best.energy.name or 'the usual spectrum'} exists"


def _equal(stack: Stack, best: Stack) -> str:
    if stack.series.series_instance_uid == best.series.series_instance_uid:
        return "another pass over the same range, and the one with lower numbers exists"
    return "equal in all that counts, and its number is not the lowest"


# one for each point of `_rank`, in its order
_REASONS: tuple[Callable[[Stack, Stack], str], ...] = (
    lambda s, best: f"{s.plane}, and an axial series exists",
    lambda s, best: "attenuation correction of PET by its description, and another CT exists",
    lambda s, best: f"field of {s.field_mm:.0f} mm only, not {best.field_mm:.0f} mm",
    lambda s, best: f"covers {s.extent_mm:.0f} mm only, not {best.extent_mm:.0f} mm",
    _by_energy,
    lambda s, best: "another cardiac phase, and one nearer to mid-diastole exists",
    _by_kernel,
    _by_energy,
    lambda s, best: "derived, and a primary series exists",
    _by_kernel,
    lambda s, best: f"slices of {s.thickness_mm:.3g} mm, and thinner ones exist",
    lambda s, best: f"{len(s.slices)} slices, and a stack of more exists",
    lambda s, best: "compressed with loss, and a series without loss exists",
    _equal,
)
