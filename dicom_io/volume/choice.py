"""What was chosen of a study, why not the rest, and what a draft has to say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dicom_io.errors import NoUsableSeries
from dicom_io.slices.slices import Slice, name_slices
from dicom_io.types import Instance, Series
from dicom_io.values import whole_number
from dicom_io.volume.concatenation import missing_parts
from dicom_io.volume.ranking import Measure, drawback
from dicom_io.volume.stacks import Stack

FEWEST_SLICES = 5
"""Fewer slices are no volume that a report could be drafted from."""

# Slices that reach less than two slices farther show the same range
_SAME_RANGE = 2


@dataclass(frozen=True, eq=False)
class Rejection:
    """A series, or a part of one, that was not taken, and why.

    Parameters
    ----------
    series : Series
        Its instances.
    reason : str
        Why not, one sentence.
    slices : tuple of Slice
        Those that could have been read, had they been of the volume taken.
    faulty : bool
        These are CT images that cannot be read, and the series they belong to lacks them.
    """

    series: Series
    reason: str
    slices: tuple[Slice, ...] = ()
    faulty: bool = False


@dataclass(frozen=True, eq=False)
class SeriesChoice:
    """The stack taken, and why every other one was not.

    Parameters
    ----------
    stack : Stack
        To be given to `build_volume`.
    others : tuple of Stack
        What would be taken in its place, the best first.
    refused : tuple of Rejection
        What cannot be given to the model at all.
    """

    stack: Stack
    others: tuple[Stack, ...]
    refused: tuple[Rejection, ...]

    @property
    def series(self) -> Series:
        """The series taken; its instances are exactly those of the stack."""
        return self.stack.series

    @property
    def instances(self) -> tuple[Instance, ...]:
        return self.series.instances

    @property
    def reason(self) -> str:
        """Why the stack was taken, one sentence."""
        return f"{name_series(self.series)}: {_summary(self.stack)}"

    @cached_property
    def rejected(self) -> tuple[Rejection, ...]:
        """Every other series or stack of the study, with the reason against it."""
        stacks = [self.stack, *self.others]
        measure = Measure.of(stacks)
        parts = Counter(stack.series.series_instance_uid for stack in stacks)

        def rejection(stack: Stack) -> Rejection:
            several = parts[stack.series.series_instance_uid] > 1
            named = f"{name_slices(stack.slices)}: " if several else ""
            why = drawback(stack, self.stack, measure)
            reason = f"{named}{why} (taken: {name_series(self.series)})"
            return Rejection(stack.series, reason, stack.slices)

        return (*self.refused, *map(rejection, self.others))

    @property
    def lacking(self) -> tuple[str, ...]:
        """What of the series taken is not in the stack, and a reader of the draft must know."""
        return (
            *missing_parts(self.instances),
            *(r.reason for r in self._of_this_series if r.faulty),
            *(
                _unread(r, f"{beyond:.0f} mm farther along the body")
                for r, beyond in self._left_out
                if beyond > _SAME_RANGE * self.stack.thickness_mm
            ),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What else the draft says of the choice, one sentence each."""
        energy = self.stack.energy.name
        repeated = len({i.sop_instance_uid for i in self.instances}) < len(self.instances)
        return (
            *([f"The images show a {energy}."] if energy else []),
            *_acquisitions(self.stack.slices),
            *self._other_ranges,
            *(["Images that share a SOP Instance UID were all read."] if repeated else []),
            *(
                _sentence(f"{_unread(r, 'over the same range')}.")
                for r, beyond in self._left_out
                if beyond <= _SAME_RANGE * self.stack.thickness_mm
            ),
            *(
                _sentence(f"{name_series(r.series)} could not be read: {r.reason}.")
                for r in self.refused
                if r.faulty and _frames(r.series) >= FEWEST_SLICES and r not in self._of_this_series
            ),
        )

    @property
    def _other_ranges(self) -> Iterator[str]:
        """One sentence that names the other series, where they continue the range or lie apart."""
        beside = {
            stack.series.series_instance_uid: name_series(stack.series)
            for stack in self.others
            if stack.is_beside(self.stack)
            and stack.series.series_instance_uid != self.series.series_instance_uid
        }
        if beside:
            yield f"Other ranges of the body were not read: {', '.join(beside.values())}."

    @property
    def _of_this_series(self) -> list[Rejection]:
        uid = self.series.series_instance_uid
        return [r for r in self.rejected if r.series.series_instance_uid == uid]

    @property
    def _left_out(self) -> list[tuple[Rejection, float]]:
        """What could be read of this series beside the stack, and how far it reaches beyond it."""
        return [(r, self.stack.beyond_mm(r.slices)) for r in self._of_this_series if r.slices]

    def without_first(self, fault: str) -> SeriesChoice:
        """The second choice, where the first one cannot be built.

        Raises
        ------
        NoUsableSeries
            There is no other stack.
        """
        refused = (*self.refused, Rejection(self.series, fault, faulty=True))
        return best_of(self.others, refused)


def best_of(stacks: Sequence[Stack], refused: Sequence[Rejection]) -> SeriesChoice:
    """The choice of the first of `stacks`, which are in the order of `ranking.ranked`.

    Raises
    ------
    NoUsableSeries
        There is none; the message lists the reason for every series.
    """
    if not stacks:
        reasons = "; ".join(f"{name_series(r.series)}: {r.reason}" for r in refused)
        raise NoUsableSeries(f"no series can be given to the model. {reasons or 'No series.'}")
    return SeriesChoice(stacks[0], tuple(stacks[1:]), tuple(refused))


def _frames(series: Series) -> int:
    return sum(max(1, whole_number(i.header, "NumberOfFrames", 1)) for i in series.instances)


def name_series(series: Series) -> str:
    """A series as a PACS administrator finds it: number and size, no description by hand."""
    count = len(series.instances)
    return f"{_numbered(series)} ({count} image{'' if count == 1 else 's'})"


def _numbered(series: Series) -> str:
    number = series.header.get("SeriesNumber")
    return "series " + (series.series_instance_uid if number is None else str(number)[:12])


def _summary(stack: Stack) -> str:
    kernel = f"{stack.sharpness} kernel" if stack.sharpness != "unknown" else "kernel unknown"
    named = f" {stack.kernel}" if stack.kernel else ""
    kind = "derived" if stack.derived else "primary"
    energy = f", {stack.energy.name}" if stack.energy.name else ""
    return (
        f"{stack.plane}, {kind}{energy}, {len(stack.slices)} slices of {stack.thickness_mm:.3g} mm "
        f"over {stack.extent_mm:.0f} mm, {kernel}{named}"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _unread(part: Rejection, where: str) -> str:
    """A sentence about images of the series taken that are not in the stack."""
    verb = "was" if len(part.slices) == 1 else "were"
    return f"{name_slices(part.slices)} of {_numbered(part.series)}, {where}, {verb} not read"


def _acquisitions(slices: Sequence[Slice]) -> Iterator[str]:
    """One sentence where several acquisitions follow each other in a stack, none of them a slab."""
    counts = Counter(one.text_of("AcquisitionNumber") for one in slices)
    if len(counts) > 1 and min(counts.values()) >= FEWEST_SLICES:
        yield f"The volume joins {len(counts)} acquisitions that follow each other."
