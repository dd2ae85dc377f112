"""What a check found, and how the checks that ask somebody else say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dicom_io.errors import CtscribeError
from dicom_io.extras import install_hint

ALLOW_REACHING = "check host, port, AE title, credentials"


@dataclass(frozen=True)
class Finding:
    """What one check found; `advice` is empty when all is well."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


def not_installed(check: str, error: ModuleNotFoundError) -> Finding:
    """Say which package is missing, and how it is installed."""
    missing, _, advice = (install_hint(error) or str(error)).partition(": ")
    return Finding(check, False, missing, advice)


def reachable(
    check: str, where: str, call: Callable[[], None], advice: str = ALLOW_REACHING
) -> Finding:
    """Make a call that raises where somebody does not answer, and say what came of it.

    Parameters
    ----------
    check : str
        What is looked at.
    where : str
        Whom the call asks.
    call : callable
        Raises `CtscribeError` where something is wrong.
    advice : str
        What to do then.
    """
    try:
        call()
    except CtscribeError as error:
        return Finding(check, False, f"{where}: {error}", advice)
    return Finding(check, True, f"{where}: answers")
