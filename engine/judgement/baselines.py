"""What images look like in which a finding is absent: the baselines that evidence starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from dicom_io.errors import CheckpointMismatch

EVIDENCE = "evidence.safetensors"
"""The file beside a checkpoint's weights."""

Box = tuple[tuple[float, float], ...]
"""Where a body begins and ends along D, H and W, as fractions of the grid."""

TISSUE = 0.1
"""From this value of the input on, 0 to 1, a voxel is no air; CT windows put air at 0."""

SPECK = 0.01
"""A slice belongs to the body from this share of tissue on: noise and tubes are less."""


@dataclass(frozen=True)
class Contrast:
    """How a model says that a finding is there, and that it is not.

    Parameters
    ----------
    finding : str
        By its name.
    terms : tuple of str
        In lower case; a sentence that holds one of them speaks of the finding.
    denials : tuple of str
        Sentences that say that it is absent.
    """

    finding: str
    terms: tuple[str, ...]
    denials: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Baselines:
    """Mean early maps of studies without each finding, by plane.

    Parameters
    ----------
    contrasts : tuple of Contrast
        The findings whose evidence can be named.
    means : mapping of (plane, finding) to Tensor, shape (D, H, W, C)
        Of studies whose report denies the finding.
    boxes : mapping of (plane, finding) to Box
        Where the bodies of these studies lie on average.
    """

    contrasts: tuple[Contrast, ...]
    means: Mapping[tuple[str, str], Tensor]
    boxes: Mapping[tuple[str, str], Box]

    def contrast(self, sentence: str) -> Contrast | None:
        """Return the finding that a sentence speaks of; None where it speaks of none or several."""
        text = sentence.lower()
        spoken = [one for one in self.contrasts if any(term in text for term in one.terms)]
        return spoken[0] if len(spoken) == 1 else None

    def aligned(self, plane: str, finding: str, body: Box) -> Tensor | None:
        """Return the mean of studies without a finding, its body laid on that of a study.

        Parameters
        ----------
        plane : str
            Of the study's slices.
        finding : str
            By its name.
        body : Box
            Of the study's input, see `body_box`.

        Returns
        -------
        Tensor of float32, shape (1, D, H, W, C)
            None where no such study was seen in training.
        """
        mean = self.means.get((plane, finding))
        if mean is None:
            return None
        return _moved(mean.float()[None], self.boxes[plane, finding], body)

    def save(self, path: Path) -> None:
        """Write the file that `read_baselines` reads."""
        tensors = {"/".join(key): mean.half().contiguous() for key, mean in self.means.items()}
        said = {
            "contrasts": json.dumps([asdict(one) for one in self.contrasts]),
            "boxes": json.dumps({"/".join(key): box for key, box in self.boxes.items()}),
        }
        save_file(tensors, path, metadata=said)


def read_baselines(folder: Path) -> Baselines | None:
    """Read the baselines beside a checkpoint's weights; None where it has none.

    Raises
    ------
    CheckpointMismatch
        The file is damaged.
    """
    path = folder / EVIDENCE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata()
            means = {_key(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        contrasts = tuple(
            Contrast(one["finding"], tuple(one["terms"]), tuple(one["denials"]))
            for one in json.loads(said["contrasts"])
        )
        boxes = {
            _key(name): tuple((float(start), float(stop)) for start, stop in box)
            for name, box in json.loads(said["boxes"]).items()
        }
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise CheckpointMismatch(f"{path} is damaged: {type(error).__name__}") from error
    return Baselines(contrasts, means, boxes)


def body_box(volume: Tensor) -> Box:
    """Find where the body lies in an input (1, 1, D, H, W); all of it where nothing is found."""
    tissue = (volume[0, 0] > TISSUE).float()
    ends = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        inside = (tissue.mean(dim=others) > SPECK).nonzero()
        size = tissue.shape[axis]
        first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, size)
        ends.append((first / size, last / size))
    return tuple(ends)


def _key(name: str) -> tuple[str, str]:
    plane, _, finding = name.partition("/")
    return plane, finding


def _moved(grid: Tensor, source: Box, target: Box) -> Tensor:
    """Resample (1, D, H, W, C) so that what lies in one box comes to lie in the other."""
    scale = [(s1 - s0) / (t1 - t0) for (s0, s1), (t0, t1) in zip(source, target, strict=True)]
    # affine_grid counts from -1 to 1 and names W first
    shift = [
        2 * (s0 - k * t0) + k - 1 for k, (s0, _), (t0, _) in zip(scale, source, target, strict=True)
    ]
    theta = torch.zeros(1, 3, 4, device=grid.device)
    for row, axis in enumerate((2, 1, 0)):
        theta[0, row, row], theta[0, row, 3] = scale[axis], shift[axis]
    channels_first = grid.movedim(-1, 1)
    where = F.affine_grid(theta, list(channels_first.shape), align_corners=False)
    moved = F.grid_sample(channels_first, where, padding_mode="border", align_corners=False)
    return moved.movedim(1, -1)
