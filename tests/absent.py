"""A host on which libraries are not installed."""

from __future__ import annotations

import os
from pathlib import Path


def without(folder: Path, *modules: str) -> dict[str, str]:
    """Return an environment in which Python, and what it starts, cannot import these modules.

    Parameters
    ----------
    folder : Path
        Empty; gets a module of each name, which fails as an absent one does.
    *modules : str
        Names at the top level.
    """
    folder.mkdir(exist_ok=True)
    for name in modules:
        said = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (folder / f"{name}.py").write_text(said)
    return {**os.environ, "PYTHONPATH": str(folder)}
