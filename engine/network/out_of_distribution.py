"""Abstention: whether an image lies outside the distribution a model was trained on.

The image embedding alone can be fooled: it was trained to keep what tells reports apart and to
drop the rest. So the pooled output of every stage and plain statistics of the pixels are compared
too, where in the patient the image is bright, and how neighbouring slices, rows and columns differ:
a body that lies otherwise than its header says has the right texture, and so have slices that are
repeated. Each vector has a Gaussian of its own, and one vector outside its limit is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from dicom_io.volume.orientation import HEAD, LEFT, POSTERIOR, patient_axes

HISTOGRAM_BINS = 16
"""Sixteenths of [0, 1]; checkpoints hold a Gaussian of so many values and three steps."""

LAYOUTS = {
    "layout": {HEAD: 16, POSTERIOR: 6, LEFT: 6},
    "outline": {HEAD: 8, POSTERIOR: 2, LEFT: 4},
}
"""Cells along each axis of the patient. Many tell an organ that is missing; few tell a body whose
sides are exchanged, which many drown in what bodies differ by."""

_SENSES = {HEAD: -1, POSTERIOR: 1, LEFT: 1}
"""From head to feet, front to back and right to left, as axial slices are displayed."""

_DISPLAYED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], np.float64)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the steps from one slice, row or column to the next: repeated slices have hardly any."""

FLOORS = {"layout": 0.3, "outline": 0.3}
"""What is added to each value's deviation, as a share of the greatest: cells that are air in nearly
every image would otherwise count most."""

MARGIN = 1.5
"""Room between the farthest image that was not used and the limit."""

MEANINGS = {
    "pixels": "intensities and noise",
    "layout": "what lies where in the patient",
    "outline": "how the body lies",
    "steps": "how neighbouring slices differ",
    "stage0": "fine texture",
    "stage1": "texture",
    "stage2": "small structures",
    "stage3": "structures",
    "stage4": "the image as a whole",
}


def image_features(
    volume: Tensor, hidden_states: Sequence[Tensor], affine_lps: NDArray[np.float64] | None
) -> dict[str, Tensor]:
    """Describe images for the comparison.

    Parameters
    ----------
    volume : Tensor, shape (B, 1, D, H, W)
        The model's input, in [0, 1].
    hidden_states : sequence of Tensor, shape (B, tokens, C)
        The vision tower's five outputs for it.
    affine_lps : ndarray, shape (4, 4), optional
        Of all of them, as `ModelInput` has it. Without it they are axial, as displayed.

    Returns
    -------
    dict of str to Tensor, float32, shape (B, width)
        "pixels": histogram and mean absolute step along each axis. "layout" and "outline": means
        of many and of few cells, from head to feet, front to back and right to left. "steps":
        logarithms of quantiles of the mean absolute step from each slice, row and column to the
        next. "stage0" to "stage4": mean and standard deviation over the tokens. The first half of
        "stage4" is the image embedding.
    """
    pixels = volume.float()
    steps = [_steps(pixels, axis) for axis in (2, 3, 4)]
    features = {
        "pixels": torch.cat([_histogram(pixels), *(s.mean(1, keepdim=True) for s in steps)], dim=1),
        **{name: _layout(pixels, affine_lps, cells) for name, cells in LAYOUTS.items()},
        "steps": torch.cat([_log_quantiles(s) for s in steps], dim=1),
    }
    for stage, hidden in enumerate(hidden_states):
        tokens = hidden.float()
        moments = [tokens.mean(dim=1), tokens.std(dim=1, correction=0)]
        features[f"stage{stage}"] = torch.cat(moments, dim=1)
    return features


def _histogram(volume: Tensor) -> Tensor:
    bins = (volume * HISTOGRAM_BINS).long().clamp(0, HISTOGRAM_BINS - 1).flatten(1)
    return torch.stack([b.bincount(minlength=HISTOGRAM_BINS) for b in bins]) / bins.shape[1]


def _steps(volume: Tensor, axis: int) -> Tensor:
    """Mean absolute step from each plane across an axis to the next: (B, planes - 1)."""
    others = [other for other in (1, 2, 3, 4) if other != axis]
    steps = volume.diff(dim=axis).abs().mean(dim=others)
    # of a single plane nothing is known
    return steps if steps.shape[1] else steps.new_zeros(len(steps), 1)


def _log_quantiles(steps: Tensor) -> Tensor:
    at = torch.tensor(QUANTILES, device=steps.device)
    # planes that are equal must not give minus infinity; a thousandth of a grey value is no step
    return (torch.quantile(steps, at, dim=1).T + 1e-6).log()


def _layout(
    volume: Tensor, affine_lps: NDArray[np.float64] | None, wanted: Mapping[int, int]
) -> Tensor:
    """Means of cells in the order of the patient's axes, whatever that of the array is."""
    affine = _DISPLAYED if affine_lps is None else affine_lps
    axes = patient_axes(affine)
    d, h, w = (wanted[axis] for axis in axes)
    cells = adaptive_avg_pool3d(volume, (d, h, w))[:, 0]
    against = [k + 1 for k, axis in enumerate(axes) if affine[axis, k] * _SENSES[axis] < 0]
    return cells.flip(against).permute(0, *(axes.index(axis) + 1 for axis in wanted)).flatten(1)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The training distribution of one feature vector, and how far from it is too far.

    Parameters
    ----------
    mean : Tensor, shape (width,)
    whitening : Tensor, shape (width, width)
        Multiplies x - mean from the right; the result has unit covariance on the training images.
    limit : Tensor, shape ()
        The largest distance that is not out of distribution.
    rounded_limit : Tensor, shape (), optional
        The same where the vision tower computes in bfloat16, whose features lie elsewhere.
    """

    mean: Tensor
    whitening: Tensor
    limit: Tensor
    rounded_limit: Tensor | None = None

    def distance(self, x: Tensor) -> Tensor:
        """Mahalanobis distance per root of the dimension, about 1 in training: (B, w) -> (B,)."""
        white = (x.cpu().double() - self.mean.double()) @ self.whitening.double()
        return white.square().mean(dim=1).sqrt()


_PARTS = ("mean", "whitening", "limit", "rounded_limit")
"""As a file names them; the last may be missing."""


@dataclass(frozen=True, eq=False)
class TrainingDistribution:
    """What the images that a model was trained on look like."""

    gaussians: Mapping[str, Gaussian]

    def rounded(self) -> TrainingDistribution | None:
        """Return it with its limits for bfloat16; None where they were not measured."""
        gaussians = {}
        for name, gaussian in self.gaussians.items():
            if gaussian.rounded_limit is None:
                return None
            gaussians[name] = replace(gaussian, limit=gaussian.rounded_limit)
        return TrainingDistribution(gaussians)

    def over_limit(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Distance over limit of each feature vector, above 1 outside: name to (B,)."""
        return {
            name: gaussian.distance(features[name]) / gaussian.limit.double()
            for name, gaussian in self.gaussians.items()
        }

    def reason_to_abstain(self, features: Mapping[str, Tensor]) -> str | None:
        """Say in one clause why the model must not describe this one image; None if it may."""
        ratios = {name: float(ratio[0]) for name, ratio in self.over_limit(features).items()}
        name = max(ratios, key=lambda n: ratios[n])
        # NaN is no number to trust, and not <= 1 either
        if all(ratio <= 1.0 for ratio in ratios.values()):
            return None
        how_far = f"{ratios[name]:.1f}" if ratios[name] < 100 else "over 100"
        return (
            f"the images are unlike the training data ({MEANINGS[name]}: {how_far} times the limit)"
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Flat names to tensors, for a safetensors file."""
        return {
            f"{name}.{part}": tensor.contiguous()
            for name, gaussian in self.gaussians.items()
            for part in _PARTS
            if (tensor := getattr(gaussian, part)) is not None
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> TrainingDistribution:
        """Read what `to_tensors` gave."""
        names = {key.partition(".")[0] for key in tensors}
        return cls(
            {
                name: Gaussian(
                    *(tensors[f"{name}.{part}"] for part in _PARTS if f"{name}.{part}" in tensors)
                )
                for name in sorted(names)
            }
        )


def fit_distribution(
    features: Mapping[str, Tensor],
    held_out: Mapping[str, Tensor],
    *,
    rounded: Mapping[str, Tensor] | None = None,
    margin: float = MARGIN,
    ridge: float = 1e-3,
) -> TrainingDistribution:
    """Measure the training distribution.

    Parameters
    ----------
    features, held_out : mapping of str to Tensor, shape (n, width)
        `image_features` of the training images, and of images of the same kind that were not
        used: the limit is `margin` times the largest distance among the latter. Both must be
        prepared as an engine's input is: 8-bit copies of training images have other statistics.
    rounded : mapping of str to Tensor, optional
        As `held_out`, of a vision tower that computes in bfloat16: they set its own limits.
    margin : float
        Room between the farthest held-out image and the limit.
    ridge : float
        Added to the covariance of the standardised features, so that directions without variance
        in training do not turn rounding errors into large distances.
    """
    gaussians = {}
    for name, x in features.items():
        mean, whitening = _whiten(x.double(), ridge, FLOORS.get(name, 1e-4))
        gaussian = Gaussian(mean.float(), whitening.float(), torch.tensor(1.0))
        gaussians[name] = replace(
            gaussian,
            limit=margin * gaussian.distance(held_out[name]).max().float(),
            rounded_limit=margin * gaussian.distance(rounded[name]).max().float()
            if rounded is not None
            else None,
        )
    return TrainingDistribution(gaussians)


def _whiten(x: Tensor, ridge: float, floor: float) -> tuple[Tensor, Tensor]:
    mean, std = x.mean(dim=0), x.std(dim=0)
    # a feature that is constant in training must not be divided by zero
    least = std.max() * floor + torch.finfo(torch.float32).tiny
    scaled = (x - mean) / (std + least)
    covariance = scaled.T @ scaled / (len(x) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return mean, (vectors / (values.clamp(min=0) + ridge).sqrt()) / (std + least)[:, None]
