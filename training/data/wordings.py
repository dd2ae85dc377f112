"""The wordings of `wordings.toml`: what the embedded model is taught, and freer prose."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np

_TEXT = (files("training.data") / "wordings.toml").read_text("utf-8")
_TABLES: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]] = tomllib.loads(_TEXT)
TAUGHT, PROSE = _TABLES["taught"], _TABLES["prose"]


def pick(wordings: Sequence[str], rng: np.random.Generator) -> str:
    """Draw one."""
    return wordings[int(rng.integers(len(wordings)))]
