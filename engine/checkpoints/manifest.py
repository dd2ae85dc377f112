"""SHA256SUMS: proof that the files of a checkpoint are those that were written.

The format is that of coreutils, so `sha256sum -c SHA256SUMS` checks a folder too.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import file_digest, sha256
from pathlib import Path

from dicom_io.errors import CheckpointMismatch

MANIFEST = "SHA256SUMS"

READ = {".json", ".safetensors", ".txt", ".jinja", ".model"}
"""Suffixes of what transformers, tokenizers or this project read of a checkpoint's folder."""


def seal(folder: Path) -> str:
    """Vouch for the files of a folder as they are now; return the checkpoint's digest."""
    (folder / MANIFEST).write_text(_lines(_files(folder)), encoding="utf-8")
    return manifest_digest(folder)


def digest_of(paths: Iterable[Path]) -> str:
    """Return the digest that a manifest of these files would have."""
    return sha256(_lines(paths).encode()).hexdigest()


def manifest_digest(folder: Path) -> str:
    """Return SHA-256 of the manifest: it changes with every byte of every file.

    Raises
    ------
    CheckpointMismatch
        There is no manifest.
    """
    try:
        return sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{folder} lacks {MANIFEST}") from error


def verify(folder: Path) -> str:
    """Compare every file with the manifest; return the checkpoint's digest.

    Raises
    ------
    CheckpointMismatch
        There is no manifest, or a file is missing, damaged, changed, or not vouched for.
    """
    digest = manifest_digest(folder)
    expected = _expected(folder)
    if unknown := [path.name for path in _files(folder) if path.name not in expected]:
        raise CheckpointMismatch(f"{folder}/{MANIFEST} does not vouch for {', '.join(unknown)}")
    for name, wanted in expected.items():
        if not (folder / name).is_file():
            raise CheckpointMismatch(f"{folder} lacks {name}")
        if file_sha256(folder / name) != wanted:
            raise CheckpointMismatch(f"{folder / name} is damaged or changed: its SHA-256 differs")
    return digest


def file_sha256(path: Path) -> str:
    """Return SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _lines(paths: Iterable[Path]) -> str:
    return "".join(f"{file_sha256(path)}  {path.name}\n" for path in paths)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in READ)


def _expected(folder: Path) -> dict[str, str]:
    lines = (folder / MANIFEST).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 and pair[1] == Path(pair[1]).name for pair in pairs):
        raise CheckpointMismatch(f"{folder}/{MANIFEST} is not what sha256sum writes")
    return {name: digest for digest, name in pairs}
