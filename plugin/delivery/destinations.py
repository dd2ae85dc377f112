"""Where drafts go: an archive by the name that the settings give it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from dicom_io.archives.archive import Archive
from dicom_io.archives.http import Credentials
from dicom_io.errors import ConfigurationError


@dataclass(frozen=True)
class Destination:
    """An archive, and what settings, deliveries and events call it."""

    name: str
    archive: Archive


def read_credentials(variable: str | None) -> Credentials | None:
    """Read `user:password` from the environment variable that the settings name.

    Raises
    ------
    ConfigurationError
        The variable is not set, or holds no colon.
    """
    if variable is None:
        return None
    user, colon, password = os.environ.get(variable, "").partition(":")
    if not (user and colon):
        raise ConfigurationError(f"the environment variable {variable} must hold user:password")
    return user, password
