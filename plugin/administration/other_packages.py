"""What the package `training` brings into the service, where it is installed."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from dicom_io.errors import PluginError


def brought(group: str, name: str) -> Any:
    """Load an entry point.

    Raises
    ------
    PluginError
        It is not installed.
    """
    for point in entry_points(group=group, name=name):
        return point.load()
    raise PluginError(
        f"nothing here brings {group} {name}: install ctscribe with its package training"
    )
