"""Passwords are kept as Argon2id (RFC 9106)."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

# RFC 9106, section 4, second recommended choice: 64 MiB, 3 passes, 4 lanes
_MEMORY_KIB, _PASSES, _LANES = 64 * 1024, 3, 4


def hashed(password: str) -> str:
    """Return what is kept of a password; the same one twice gives two hashes."""
    argon2 = Argon2id(
        salt=os.urandom(16), length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB
    )
    return argon2.derive_phc_encoded(password.encode())


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one that was hashed."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), kept)
    except InvalidKey:
        return False
    return True
