from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.phantoms.m3d import write_raw


@pytest.fixture(scope="session")
def phantom_raw(tmp_path_factory) -> Path:
    """Twelve phantom patients in M3D's raw layout."""
    raw = tmp_path_factory.mktemp("raw")
    write_raw(raw, range(1, 13))
    return raw


def write_series(
    folder: Path, *, slices: int = 4, shape: tuple[int, int] = (12, 10), ending: str = ".png"
) -> None:
    """A series of random grey slices, the folder's name their seed."""
    rng = np.random.default_rng(list(folder.name.encode()))
    folder.mkdir(parents=True)
    for number in range(slices):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}{ending}")


def write_case(folder: Path, *series: str, findings: str = "A cyst of the left kidney.") -> Path:
    """A case with its report and series."""
    for name in series:
        write_series(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(f"title: t\ndiscussion: d\nstudy_findings: {findings}\n")
    return folder
