"""The secret key of a data set, and the pseudonyms that are made with it.

Whoever has the key can tell which pseudonym a known patient has, so it stays in the working folder
and never goes where the data set goes.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from dicom_io.errors import UnusableData

ENVIRONMENT = "CTSCRIBE_DEIDENTIFICATION_KEY"
"""The key, where it is not to be kept in a file: at least 32 characters."""

_FEWEST_CHARACTERS = 32
_SHORTEST_SHIFT, _LONGEST_SHIFT = 366, 3650
_DAY = 24 * 60 * 60
_OTHERS = 0o077


@dataclass(frozen=True)
class Key:
    """Makes the same pseudonym of the same value, and nobody without it can.

    Parameters
    ----------
    secret : bytes
        Never shown, not even by `repr`.
    """

    secret: bytes = field(repr=False)

    def patient(self, patient: str) -> str:
        """The pseudonym of a patient, by what `headers.patient_of` says of one."""
        return f"p-{self._digest('patient', patient).hex()[:20]}"

    def study(self, study_instance_uid: str) -> str:
        """The pseudonym of a study, in which alone it may be named."""
        return f"s-{self._digest('study', study_instance_uid).hex()[:20]}"

    def uid(self, uid: str) -> str:
        """The UID that replaces another one everywhere (PS3.5 B.2: 2.25 and a number)."""
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:15], 'big')}"

    def days(self, patient: str) -> int:
        """How many days every date of a patient moves; always back, by one to ten years."""
        drawn = int.from_bytes(self._digest("days", patient)[:8], "big")
        return -(_SHORTEST_SHIFT + drawn % (_LONGEST_SHIFT - _SHORTEST_SHIFT + 1))

    def seconds(self, patient: str) -> int:
        """How many seconds every time of day of a patient moves, round the clock."""
        return int.from_bytes(self._digest("seconds", patient)[:8], "big") % _DAY

    def label(self, value: str) -> str:
        """A short code for a word that only has to differ from other words."""
        return f"x{self._digest('label', value).hex()[:6]}"

    @property
    def fingerprint(self) -> str:
        """Tells keys apart and says nothing of them."""
        return self._digest("fingerprint", "").hex()[:16]

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"{purpose}\0{value}".encode(), "sha256")


def open_work(work: Path, out: Path) -> Key:
    """Open the working folder of a data set, or make it with a new key.

    Parameters
    ----------
    work : Path
        Holds the key and everything identified; nobody else may read it.
    out : Path
        The data set, which may be given away. Neither may lie in the other.

    Raises
    ------
    UnusableData
        The folders lie in one another, others can read the key, or it is not the one that the data
        set was begun with.
    """
    _keep_apart(work.resolve(), out.resolve())
    begun = (out / "store.json").exists() or (work / "key.id").exists()
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    _private(work)
    key = _from_environment() or _from_file(work / "key", begun=begun)
    _same_as_before(work / "key.id", key, begun=begun)
    return key


def _keep_apart(work: Path, out: Path) -> None:
    if work == out or out in work.parents:
        raise UnusableData(f"{work} lies in the data set; what is identified must stay outside it")
    if work in out.parents:
        raise UnusableData(f"{out} lies in the working folder, which must not be given away")


def _private(path: Path) -> None:
    if path.stat().st_mode & _OTHERS:
        wanted = "700" if path.is_dir() else "600"
        raise UnusableData(f"others can read {path}: chmod {wanted} {path}")


def _from_environment() -> Key | None:
    value = os.environ.get(ENVIRONMENT)
    if value is None:
        return None
    if len(value) < _FEWEST_CHARACTERS:
        raise UnusableData(f"{ENVIRONMENT} has fewer than {_FEWEST_CHARACTERS} characters")
    return Key(value.encode())


def _from_file(path: Path, *, begun: bool) -> Key:
    if path.exists():
        _private(path)
        value = path.read_text("ascii", "replace").strip()
        if len(value) < _FEWEST_CHARACTERS:
            raise UnusableData(f"{path} holds no key")
        return Key(value.encode())
    if begun:
        raise UnusableData(f"the key of this data set is lost: {path} is not there")
    value = secrets.token_hex(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    return Key(value.encode())


def _same_as_before(path: Path, key: Key, *, begun: bool) -> None:
    if path.exists():
        if path.read_text("ascii").strip() != key.fingerprint:
            raise UnusableData(f"the key is not the one that {path.parent} was begun with")
    elif begun:
        raise UnusableData(f"{path.parent} is not the working folder of this data set")
    else:
        path.write_text(key.fingerprint, "ascii")
