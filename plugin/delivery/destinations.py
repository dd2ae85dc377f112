"""Where drafts go: an archive by the name that the settings give it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from dicom_io.archives.archive import Target
from dicom_io.archives.http import Credentials
from dicom_io.errors import ConfigurationError

# Whoever claimed a delivery and says nothing for so long has died: it falls due again.
# A C-STORE that reaches every limit takes 55 s (10 + 15 + 30)
CLAIM_S = 60.0
# Most archives show an object within seconds; some index every quarter of an hour
PROVE_WITHIN_S = 3600.0


class Proof(StrEnum):
    """What a destination owes before a draft counts as delivered."""

    FOUND = "found"
    COUNTED = "counted"
    COMMITMENT = "commitment"
    NONE = "none"


@dataclass(frozen=True)
class Destination:
    """An archive, and what settings, deliveries and events call it.

    Parameters
    ----------
    name : str
    archive : Target
    proof : Proof
        What it owes.
    prove_within_s : float
        How long it may take to show what it has accepted.
    claim_s : float
        An attempt that says nothing for so long has died.
    commit : callable, optional
        Asks for storage commitment to a file under a transaction UID; see `Dimse.commit`.
    in_forms : callable, optional
        Returns the archive with other forms.
    plain : Target, optional
        The archive itself, where it takes what stands beside a draft.
    """

    name: str
    archive: Target
    proof: Proof = Proof.FOUND
    prove_within_s: float = PROVE_WITHIN_S
    claim_s: float = CLAIM_S
    commit: Callable[[Path, str], bool | None] | None = None
    in_forms: Callable[[Sequence[str]], Target] | None = None
    plain: Target | None = None

    def taking(self, forms: Sequence[str] | None) -> Destination:
        """Return the same destination with the forms that a rule wants; None is its own."""
        if forms is None or self.in_forms is None:
            return self
        return replace(self, archive=self.in_forms(forms))


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
