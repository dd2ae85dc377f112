"""The one way from a CT volume to the model's input; a checkpoint stores the `PreprocessSpec`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import GeometryError
from dicom_io.model_input.foreground import foreground_box, value_range
from dicom_io.model_input.intensity import Intensity, curve_of
from dicom_io.model_input.resize import (
    Box,
    SliceReader,
    chosen_voxels,
    resample_trilinear,
    resize_nearest,
    resize_trilinear,
)
from dicom_io.model_input.spacing import Axis, axis_between_ends, axis_over, resampled_size
from dicom_io.types import Volume
from dicom_io.volume.orientation import Orientation, acquisition_plane, reorient

DEFAULT_WINDOW = (40.0, 400.0)
"""Centre and width in HU of the soft-tissue window, for series that name none."""


@dataclass(frozen=True)
class PreprocessSpec:
    """How a volume in HU becomes the model's input.

    Parameters
    ----------
    size : tuple of int
        (D, H, W) of the model's input; with interpolation "none" the most that there may be.
    window : tuple of float, optional
        (centre, width) in HU; by default the window of the series, else W 400 L 40.
    companding : tuple of (HU, value) knots, optional
        A rising piecewise linear curve from 0 to 1, used in place of the window.
    scaling : {"minmax", "fixed"}
        Whether the windowed values are stretched to [0, 1] for each volume, or stay as they are.
    crop_foreground : bool
        Whether the planes around the box of values > 0 are cut off.
    interpolation : {"trilinear", "nearest", "none"}
        Pixel centres aligned, no anti-aliasing; voxels are chosen along each axis, without mixing
        them; or slices are chosen and stay as they are.
    spacing_mm : tuple of float, optional
        (D, H, W) from sample to sample: `size` is then cut out of the middle of the volume that is
        resampled so, and filled with air (0) where the volume ends. HU are interpolated before
        they are windowed. Without it the volume is stretched to `size`.
    spacing_tolerance_mm : float
        An axis whose spacing differs by no more than this keeps its own.
    centre : {"middle", "lungs"}
        What `size` is cut out around, with a spacing, along D from foot to head: the middle, or the
        lungs; where none are found, the upper end.
    keeps : {"first", "ends"}
        What stays in its place when an axis is resampled: the first voxel, or the two ends of the
        axis; in that case HU are windowed before they are interpolated.
    orientation : {"displayed", "axial", "SRA", "SPL", "SLP"}
        See `dicom_io.volume.orientation.reorient`.
    """

    size: tuple[int, int, int] = (128, 256, 256)
    window: tuple[float, float] | None = None
    companding: tuple[tuple[float, float], ...] | None = None
    scaling: Literal["minmax", "fixed"] = "minmax"
    crop_foreground: bool = True
    interpolation: Literal["trilinear", "nearest", "none"] = "trilinear"
    spacing_mm: tuple[float, float, float] | None = None
    spacing_tolerance_mm: float = 0.0
    centre: Literal["middle", "lungs"] = "middle"
    keeps: Literal["first", "ends"] = "first"
    orientation: Orientation = "displayed"

    def __post_init__(self) -> None:
        if len(self.size) != 3 or min(self.size) < 1:
            raise ValueError(f"size must be three positive numbers, got {self.size}")
        if self.scaling not in ("minmax", "fixed"):
            raise ValueError(f"scaling must be minmax or fixed, got {self.scaling!r}")
        if self.interpolation not in ("trilinear", "nearest", "none"):
            raise ValueError(
                f"interpolation must be trilinear, nearest or none, got {self.interpolation!r}"
            )
        if self.orientation not in get_args(Orientation):
            known = ", ".join(get_args(Orientation))
            raise ValueError(f"orientation must be one of {known}; got {self.orientation!r}")
        if self.keeps not in ("first", "ends"):
            raise ValueError(f"keeps must be first or ends, got {self.keeps!r}")
        if self.keeps == "ends" and (self.spacing_mm is None or self.centre != "middle"):
            raise ValueError("keeps ends goes with spacing_mm around the middle")
        if self.spacing_mm is not None:
            self._require_fixed_values()
        curve_of(self.window or DEFAULT_WINDOW, self.companding)

    def _require_fixed_values(self) -> None:
        """With a spacing there is one way from HU to values, which does not depend on the crop."""
        assert self.spacing_mm is not None
        if len(self.spacing_mm) != 3 or not min(self.spacing_mm) > 0:
            raise ValueError(f"spacing_mm must be three positive numbers, got {self.spacing_mm}")
        if self.scaling != "fixed" or self.crop_foreground or self.companding:
            raise ValueError(
                "spacing_mm goes with scaling fixed, no companding, no crop_foreground"
            )
        if self.interpolation != "trilinear":
            raise ValueError("spacing_mm needs interpolation trilinear")
        if self.centre == "lungs" and self.orientation not in ("SRA", "SPL"):
            raise ValueError("centre lungs needs an orientation whose slices go from foot to head")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a model's input may have this shape (D, H, W)."""
        if self.interpolation == "none":
            return all(1 <= n <= most for n, most in zip(shape, self.size, strict=True))
        return shape == self.size

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `from_dict` reads them back."""
        values = asdict(self)
        if self.spacing_mm is None:  # programs of before know no such keys
            del values["spacing_mm"], values["spacing_tolerance_mm"], values["centre"]
        if self.keeps == "first":
            del values["keeps"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessSpec:
        """Read what `to_dict` gave, also after a trip through JSON.

        Raises
        ------
        ValueError
            A key is unknown or a value makes no sense.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown preprocessing keys: {', '.join(sorted(unknown))}")
        return cls(**{key: _as_tuples(value) for key, value in values.items()})


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model sees, and how it came to be.

    Parameters
    ----------
    pixels : ndarray of float32, shape (1, D, H, W)
        In [0, 1].
    spec : PreprocessSpec
        How it was prepared.
    affine_lps : ndarray of float64, shape (4, 4)
        Maps (d, h, w, 1) of `pixels` to patient coordinates in mm, LPS.
    steps : tuple of str
        What was done, one sentence each.
    """

    pixels: NDArray[np.float32]
    spec: PreprocessSpec
    affine_lps: NDArray[np.float64]
    steps: tuple[str, ...]


def prepare(
    volume: Volume, spec: PreprocessSpec, window: tuple[float, float] | None = None
) -> ModelInput:
    """Turn a volume into the model's input.

    Equal to clip to the window → scale to [0, 1] → min–max → crop to values > 0 → trilinear resize,
    as MONAI's ScaleIntensityRange, ScaleIntensity, CropForeground and Resize do it, but in one pass
    over the slices that are needed.

    Parameters
    ----------
    volume : Volume
        HU of shape (D, H, W), int16 or float32.
    spec : PreprocessSpec
        How it was prepared.
    window : tuple of float, optional
        The series' own (centre, width) in HU; used where `spec` fixes neither window nor curve.

    Returns
    -------
    ModelInput
        `pixels` of a shape (1, D, H, W) that `spec` allows.

    Raises
    ------
    GeometryError
        Slices that may not be resized are larger than `spec.size`.
    """
    turned = reorient(volume, spec.orientation)
    window = spec.window or window or DEFAULT_WINDOW
    if spec.spacing_mm is not None:
        return _resampled(turned, spec, window)
    curve = curve_of(window, spec.companding)
    low, high = value_range(turned.hu, *curve.bounds)
    bottom, top = (low, high) if spec.scaling == "minmax" else curve.bounds
    box = _whole(turned.hu)
    if spec.crop_foreground:
        box = foreground_box(turned.hu, above=bottom) or box
    intensity = Intensity(curve, bottom, top)
    if spec.interpolation == "none":
        values = _chosen(turned.hu[box], spec.size, intensity)
    elif spec.interpolation == "nearest":
        values = resize_nearest(turned.hu[box], spec.size, intensity.of_slice)
    else:
        values = resize_trilinear(turned.hu[box], spec.size, intensity.of_slice)
    affine = _resized_affine(turned.affine_lps, box, values.shape)
    if spec.interpolation == "nearest":
        affine = _chosen_affine(turned.affine_lps, box, values.shape)
    steps = _steps(turned, spec, window, box)
    return ModelInput(intensity.finish(values)[None], spec, affine, steps)


def _resampled(turned: Volume, spec: PreprocessSpec, window: tuple[float, float]) -> ModelInput:
    axes, place = _axes(turned, spec)
    curve = curve_of(window)
    pixels = np.zeros(spec.size, np.float32)
    inside = tuple(slice(*axis.within) for axis in axes)
    intensity = Intensity(curve, *curve.bounds)
    read = intensity.of_slice if spec.keeps == "ends" else _as_numbers
    pixels[inside] = intensity.finish(_values_at(turned, axes, read))
    to_source = np.diag([*(axis.step for axis in axes), 1.0])
    to_source[:3, 3] = [axis.start + axis.first * axis.step for axis in axes]
    assert spec.spacing_mm is not None
    steps = (
        *_steps_of_values(turned, spec, window),
        f"resampled to {'x'.join(f'{mm:g}' for mm in spec.spacing_mm)} mm",
        f"{'x'.join(map(str, spec.size))} samples cut out {place}, the rest filled with air",
    )
    return ModelInput(pixels[None], spec, turned.affine_lps @ to_source, steps)


def _as_numbers(hu: NDArray[Any]) -> NDArray[np.float32]:
    return hu.astype(np.float32)


def _values_at(turned: Volume, axes: Sequence[Axis], read: SliceReader) -> NDArray[np.float32]:
    d, h, w = (axis.at for axis in axes)
    return resample_trilinear(turned.hu, (d, h, w), read)


def _axes(turned: Volume, spec: PreprocessSpec) -> tuple[list[Axis], str]:
    """Return the grid that is cut out, and in words where."""
    assert spec.spacing_mm is not None
    spacing = np.linalg.norm(turned.affine_lps[:3, :3], axis=0).tolist()
    given = [
        (n, own, own if abs(own - wanted) <= spec.spacing_tolerance_mm else wanted)
        for n, own, wanted in zip(turned.hu.shape, spacing, spec.spacing_mm, strict=True)
    ]
    if spec.keeps == "ends":
        axes = [axis_between_ends(*one, size) for one, size in zip(given, spec.size, strict=True)]
        return axes, "of its middle"
    if spec.centre == "middle":
        axes = [axis_over(*one, size) for one, size in zip(given, spec.size, strict=True)]
        return axes, "of its middle"
    whole = [axis_over(*one, resampled_size(*one)) for one in given]
    # imported where it is needed: half a second
    from dicom_io.model_input.lungs import lung_slices

    lungs = lung_slices(_values_at(turned, whole, _as_numbers), spec.spacing_mm[0])
    top = float(whole[0].count)
    centres = [(axis.count - 1) / 2 for axis in whole]
    centres[0] = top if lungs is None else (lungs[0] + lungs[1]) / 2
    axes = [
        axis_over(*one, size, centre)
        for one, size, centre in zip(given, spec.size, centres, strict=True)
    ]
    return axes, "of its upper end, as no lungs were found" if lungs is None else "around the lungs"


def spread(count: int, most: int) -> list[int]:
    """Choose slices evenly: all, or `most`, of which the last is always one and the first never.

    The rule of Google's notebook for MedGemma 1.5 and CT (`high_dimensional_ct_hugging_face`):
    round(i / most · (count - 1)) for i = 1 … most, halves to even.
    """
    if count <= most:
        return list(range(count))
    return [round(i / most * (count - 1)) for i in range(1, most + 1)]


def _chosen(
    stack: NDArray[Any], most: tuple[int, int, int], intensity: Intensity
) -> NDArray[np.float32]:
    """Slices as they are, with values that are linear in the final grey value."""
    if stack.shape[1] > most[1] or stack.shape[2] > most[2]:
        raise GeometryError(f"slices of {stack.shape[1:]} pixels; the model takes {most[1:]}")
    indices = spread(len(stack), most[0])
    return np.stack([intensity.of_slice(stack[i]) for i in indices]).astype(np.float32)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def _whole(hu: NDArray[Any]) -> Box:
    d, h, w = hu.shape
    return slice(0, d), slice(0, h), slice(0, w)


def _resized_affine(
    affine: NDArray[np.float64], box: Box, size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Affine of the resized box: output o lies at source (o + 0.5) n / n' - 0.5 + start.

    Of chosen slices it is the even spacing that theirs is nearest to.
    """
    scale = np.array([(b.stop - b.start) / n for b, n in zip(box, size, strict=True)])
    shift = 0.5 * scale - 0.5 + [b.start for b in box]
    to_source = np.diag([*scale, 1.0])
    to_source[:3, 3] = shift
    return affine @ to_source


def _chosen_affine(
    affine: NDArray[np.float64], box: Box, size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Affine of voxels that were chosen: the even spacing that theirs is nearest to."""
    to_source = np.eye(4)
    for axis, (part, count) in enumerate(zip(box, size, strict=True)):
        own = part.stop - part.start
        even = np.arange(count) * (own / count)
        to_source[axis, axis] = own / count
        to_source[axis, 3] = part.start + (chosen_voxels(own, count) - even).mean()
    return affine @ to_source


def _steps(
    turned: Volume, spec: PreprocessSpec, window: tuple[float, float], box: Box
) -> tuple[str, ...]:
    cropped = "x".join(str(b.stop - b.start) for b in box)
    steps = _steps_of_values(turned, spec, window)
    if spec.scaling == "minmax":
        steps.append("stretched to the volume's own minimum and maximum")
    if spec.crop_foreground:
        steps.append(f"cropped to the foreground of {cropped} voxels")
    if spec.interpolation == "none":
        kept = min(turned.hu.shape[0], spec.size[0])
        steps.append(f"{kept} slices chosen, none resized")
    else:
        steps.append(f"resized to {'x'.join(str(n) for n in spec.size)}")
    return tuple(steps)


def _steps_of_values(
    turned: Volume, spec: PreprocessSpec, window: tuple[float, float]
) -> list[str]:
    shape = "x".join(str(n) for n in turned.hu.shape)
    taken = f"{shape} voxels taken as {acquisition_plane(turned.affine_lps)} slices"
    if spec.companding:
        return [taken, f"HU mapped by a curve of {len(spec.companding)} knots"]
    return [taken, f"HU windowed at centre {window[0]:g}, width {window[1]:g}"]
