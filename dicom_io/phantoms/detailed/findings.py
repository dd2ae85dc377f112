"""Which findings a detailed phantom has: drawn before anything is painted, each from its stream."""

from __future__ import annotations

from dataclasses import replace

from dicom_io.phantoms.body import Streams
from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.scan import Region
from dicom_io.phantoms.truth import FINDINGS, Finding, Side

STONE, PNEUMOTHORAX = "kidney stone", "pneumothorax"
DETAILED_FINDINGS = (*FINDINGS, *FOCAL_FINDINGS, STONE, PNEUMOTHORAX)

SIZES_MM = {
    "pulmonary nodule": (8, 30),
    "liver lesion": (12, 45),
    "renal cyst": (12, 50),
    "aortic aneurysm": (34, 62),
    STONE: (5, 18),
    PNEUMOTHORAX: (10, 45),  # the depth of the air before the lung
}
PLACES = {
    "pulmonary nodule": ("upper lobe", "lower lobe"),
    "liver lesion": ("superior part", "inferior part"),
    "renal cyst": ("upper pole", "lower pole"),
    "aortic aneurysm": ("infrarenal",),
    STONE: ("upper pole", "lower pole"),
}
_SIDED: dict[str, tuple[Side, ...]] = {
    "pleural effusion": ("left", "right", "bilateral"),
    **dict.fromkeys(("pulmonary nodule", "renal cyst", STONE, PNEUMOTHORAX), ("left", "right")),
}
_CHEST = ("cardiomegaly", "pleural effusion", "pulmonary nodule", PNEUMOTHORAX)
_ABDOMEN = tuple(name for name in DETAILED_FINDINGS if name not in _CHEST)
IN_VIEW: dict[str, tuple[str, ...]] = {
    "head": (),
    "chest": (*_CHEST, "hepatic steatosis"),  # the dome of the liver is in view
    "abdomen": _ABDOMEN,
    "chest and abdomen": DETAILED_FINDINGS,
    "head to pelvis": DETAILED_FINDINGS,
}
"""What a region shows whole; nothing else is planted in it."""

_NORMAL = 0.15
"""Studies without any finding; eleven of them would leave one in a hundred."""

_FREQUENCY = 0.3


def draw_findings(streams: Streams, region: Region) -> tuple[Finding, ...]:
    """Draw the findings of a phantom among those that its region shows."""
    if streams["normal"].random() < _NORMAL:
        return ()
    drawn = {name: found for name in IN_VIEW[region] if (found := _drawn(streams, name))}
    nodule, effusion = drawn.get("pulmonary nodule"), drawn.get("pleural effusion")
    if nodule and effusion and effusion.side in (nodule.side, "bilateral"):
        # fluid would hide it in the lower lobe
        drawn["pulmonary nodule"] = replace(nodule, place="upper lobe")
    return tuple(drawn.values())


def _drawn(streams: Streams, name: str) -> Finding | None:
    rng = streams[f"finding {name}"]
    if rng.random() >= _FREQUENCY:
        return None
    extent = float(rng.random())
    sides, places = _SIDED.get(name, (None,)), PLACES.get(name, (None,))
    size = None
    if name in SIZES_MM:
        low, high = SIZES_MM[name]
        size = round(low + extent * (high - low))
    side, place = sides[rng.integers(len(sides))], places[rng.integers(len(places))]
    return Finding(name, side, extent, place, size)
