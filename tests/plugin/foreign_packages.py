"""A folder with packages that bear the names of ours, and leave a trace when one is imported."""

from pathlib import Path

NAMES = ("plugin", "engine", "dicom_io", "reporting", "training", "multiprocessing")


def foreign_packages(folder: Path) -> Path:
    """Make the folder, to be the current one of a process."""
    for name in NAMES:
        package = folder / name
        package.mkdir(parents=True)
        trace = str(folder / "ran")
        (package / "__init__.py").write_text(f"open({trace!r}, 'a').close()\n")
    return folder


def has_run(folder: Path) -> bool:
    """Whether any of it was imported."""
    return (folder / "ran").exists()
