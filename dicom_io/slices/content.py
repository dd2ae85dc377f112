"""What the pixels of an image show: a cross-section in HU, or something that looks like one."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A word within an ImageType value: "CT_SOM5 MIP", "CSA MIP", "THICK_MIP", but not "MIPS"
_WORD = r"(?<![A-Z0-9])(?:{})(?![A-Z0-9])"


def _words(*names: str) -> re.Pattern[str]:
    return re.compile(_WORD.format("|".join(names)))


# ImageType values of images that are no cross-sections (PS3.3 C.8.15.2.1, and of vendors)
_NO_CROSS_SECTION = (
    (_words("LOCALIZER", "SCOUT", "REF_SURVIEW", "SURVIEW", "TOPOGRAM"), "localizer"),
    (_words("MIP", "MAX[ _]?IP", "MAXIMUM"), "maximum intensity projection"),
    (_words("MINIP", "MNIP", "MIN[ _]?IP", "MINIMUM"), "minimum intensity projection"),
    (
        _words("VRT", "VOLREN", "VOLUME_RENDER(?:ED|ING)?", "SURFACE_RENDER", "SSD"),
        "volume rendering",
    ),
    (_words("PROJECTION IMAGE"), "projection"),
    (_words("CPR", "CURVED(?:_MPR)?"), "curved reformation"),
    (_words("SCREEN[ _]SAVE"), "screen capture"),
    (_words("DOSE_INFO"), "dose sheet"),
    (_words("PATIENT_INFO"), "patient protocol"),
)
# What of these a description names, of derived images whose ImageType says no more
_NAMED_SO = (
    (_words("T?MIP", "MAX[ _]?IP"), "maximum intensity projection"),
    (_words("MINIP", "MIN[ _]?IP"), "minimum intensity projection"),
    (_words("VRT", "SSD"), "volume rendering"),
    (_words("CPR", "CURVED(?:[ _-]?MPR)?"), "curved reformation"),
)

# ImageType value 4 of multi-energy images whose values are no HU (PS3.3 C.8.15.3.12), and the
# contrast of pixels that were computed from several images (PS3.3 C.8.16.2.1.4)
_NO_HU = (
    (_words("EFF_ATOMIC_NUM"), "effective atomic numbers"),
    (_words("ELECTRON_DENSITY"), "electron densities"),
    (_words("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED"), "a map of a material"),
    (_words("MAT_REMOVED", "MAT_MODIFIED"), "HU with a material removed or changed"),
    (_words("IODINE", "MATERIAL(?:_DENSITY)?", "MD_\\w+"), "a map of a material"),
    (_words("R?CBF", "R?CBV", "MTT", "TTP", "TMAX", "TTD"), "a perfusion map"),
    (
        _words("SUBTRACTION", "DIVISION", "STD_DEVIATION", "T_TEST", "Z_SCORE"),
        "computed differences",
    ),
)
# The other terms of value 4; what vendors write there says nothing
_HU_TERMS = (("VMI",), ("NONE",))
# The same as vendors write it in the ImageType or the description: one material beside another,
# as in "Water (Iodine)", is a pair of a material decomposition
_MATERIAL = "(?:IODINE|WATER|FAT|CALCIUM|HAP|BLOOD|GADOLINIUM|IRON|URIC[ _-]?ACID)"
_MAPS = (
    (_words(f"{_MATERIAL} ?\\({_MATERIAL}\\)"), "a map of a material"),
    (_words("IODINE NO WATER", "URIC[ _-]?ACID PAIRS"), "a map of a material"),
    (_words("Z[ _-]?EFF(?:ECTIVE)?", "EFF(?:ECTIVE)?[ _-]?Z"), "effective atomic numbers"),
    (_words("RHO ?/ ?Z"), "electron densities and atomic numbers"),
    (_words("ELECTRON[ _-]?DENSITY"), "electron densities"),
    (_words("(?:IODINE|IOD|JOD)[ _-]?(?:MAP|DENSITY|CONC\\w*|OVERLAY)"), "a map of a material"),
    (_words("FAT[ _-]?(?:FRACTION|MAP)", "MATERIAL[ _-]?(?:MAP|DENSITY)"), "a map of a material"),
    (
        _words(
            "VNC(?:A)?",
            "VUE",
            "VIRTUAL (?:NON[ -]?CONTRAST|UNENHANCED)",
            "CA(?:LCIUM)?[ _-]?SUPP\\w*",
        ),
        "HU with a material removed or changed",
    ),
    (_words("BONE[ _-]?REMOV(?:ED|AL)"), "HU with a material removed or changed"),
    (_words("SUBTRACTED"), "computed differences"),
    (_words("R?CBF", "R?CBV", "MTT", "TTP", "TMAX", "TTD"), "a perfusion map"),
    (_words("PERFUSION MAPS?", "PERM\\w*[ ._-]*SURFACE"), "a perfusion map"),
)

_SINGLE_ENERGY = _words("VMI", "MONO_?E\\w*")
# "Mono 40 keV", "MonoE40"
_KEV = re.compile(r"(?<!\d)(\d{2,3}) ?KEV(?![A-Z])|MONO_?E ?(\d{2,3})(?!\d)")
# Two tubes or layers: the images of one, beside the mixture of both (DET_AB)
_ONE_TUBE = _words("DET_[AB]")
_ONE_TUBE_NAMED = _words("[AB]_(?:SN)?\\d{2,3}KV")

# "AC CT", "CTAC", "WB AC": not the AC joint
_ATTENUATION = _words("AC[ _-]?CT", "CT[ _-]?AC", "AC[ _-]?WB", "WB[ _-]?AC", "ATTENUATION\\w*")

_CARDIAC = re.compile(r"COR|CARD|HEART|HERZ|PHASE|DIAST|SYST|(?<![A-Z])R-?R(?![A-Z])")
_PERCENT = re.compile(r"(?<!\d)(\d{1,3}) ?%")

REFERENCE_KEV = 70.0
"""Energy at which single-energy images look like those of a tube at 120 kV."""

_LIKE_120_KV = 10.0  # within it, a reader sees no other contrast
_CALM_PHASE = 75.0  # of the cardiac cycle: mid-diastole, where the heart moves least


@dataclass(frozen=True)
class Energy:
    """The X-ray energy that an image shows.

    Parameters
    ----------
    grade : float
        0 for the usual spectrum, and for the mixture of two; below 2 for a single energy that
        looks like it; 2 for one tube of two; more for other single energies.
    name : str
        Empty for the usual spectrum.
    """

    grade: float = 0.0
    name: str = ""


def no_cross_section(image_type: tuple[str, ...], description: str = "") -> str | None:
    """Name what is no cross-section, such as a localizer; None for what may be one.

    Parameters
    ----------
    image_type : tuple of str
        ImageType or FrameType, in capitals.
    description : str
        SeriesDescription, believed of derived images only: originals are cross-sections.
    """
    named = _named(_NO_CROSS_SECTION, "\\".join(image_type))
    if named is None and image_type[:1] == ("DERIVED",):
        return _named(_NAMED_SO, description.upper())
    return named


def no_hu(image_type: tuple[str, ...], description: str = "") -> str | None:
    """Name values that are no HU as measured, such as a map of iodine; None for what may be HU.

    Parameters
    ----------
    image_type : tuple of str
        ImageType or FrameType, in capitals.
    description : str
        SeriesDescription, asked unless the fourth value is a term that says the values are HU.
    """
    kinds = "\\".join(image_type[2:])
    if named := _named(_NO_HU, kinds) or _named(_MAPS, kinds):
        return named
    return None if image_type[3:4] in _HU_TERMS else _named(_MAPS, description.upper())


def energy_of(image_type: tuple[str, ...], kev: float | None, description: str = "") -> Energy:
    """Tell single energies and single tubes from the usual spectrum.

    Parameters
    ----------
    image_type : tuple of str
        ImageType or FrameType, in capitals.
    kev : float, optional
        MonoenergeticEnergyEquivalent.
    description : str
        SeriesDescription, asked for an energy that no attribute states.
    """
    kinds, described = "\\".join(image_type), description.upper()
    if kev is None and (stated := _KEV.search(f"{described}\\{kinds}")):
        kev = float(stated[1] or stated[2])
    if kev is not None:
        off = abs(kev - REFERENCE_KEV)
        grade = 1 + off / 100 if off <= _LIKE_120_KV else 3 + off
        return Energy(grade, f"single energy of {kev:.3g} keV")
    if _SINGLE_ENERGY.search(kinds):
        return Energy(3, "single energy, not stated")
    if _ONE_TUBE.search(kinds) or ("DET_AB" not in kinds and _ONE_TUBE_NAMED.search(described)):
        return Energy(2, "one tube of two")
    return Energy()


def is_attenuation_correction(description: str) -> bool:
    """Whether a description names the low-dose CT that PET is corrected with."""
    return bool(_ATTENUATION.search(description.upper()))


def phase_distance(percent: float | None, description: str = "") -> float:
    """How far a cardiac phase lies from mid-diastole, in tens of percent of the cycle.

    Parameters
    ----------
    percent : float, optional
        NominalPercentageOfCardiacPhase.
    description : str
        SeriesDescription, asked for a phase that no attribute states.

    Returns
    -------
    float
        0 to 8; 0 where the images show no phase, or the one that the scanner found the best.
    """
    described = description.upper()
    if percent is None and _CARDIAC.search(described):
        if re.search(r"BEST ?_?DIAST", described):
            return 0.0
        stated = _PERCENT.search(described)
        percent = float(stated[1]) if stated else None
    return 0.0 if percent is None else float(min(abs(percent - _CALM_PHASE), 75) // 10)


def _named(kinds: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str | None:
    return next((name for pattern, name in kinds if pattern.search(text)), None)
