"""The folder of a checkpoint: where it is found, and proof that its files are those written.

A checkpoint on the Hugging Face hub is named `OWNER/NAME@COMMIT`. A branch or tag moves, and a
model must not change because a service was restarted: so a name without a commit is refused, with
the commit that it means now. What was downloaded is used again without the network. `HF_ENDPOINT`,
`HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` work as everywhere.

The proof is SHA256SUMS, in the format of coreutils: `sha256sum -c SHA256SUMS` checks a folder too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from dicom_io.errors import CheckpointMismatch, EngineError

HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")

MANIFEST = "SHA256SUMS"

READ = {".json", ".safetensors", ".txt", ".jinja", ".model"}
"""Suffixes of what transformers, tokenizers or this project read of a checkpoint's folder."""

WANTED = [*(f"*{suffix}" for suffix in sorted(READ)), MANIFEST, "vision_tower.bin"]
TORCH_WEIGHTS = ["pytorch_model*.bin"]
"""What is downloaded of a checkpoint; the second where it has no safetensors."""


def is_hub_id(name: str) -> bool:
    """Tell whether a name is a repository of the hub, and not a path that is there."""
    path = Path(name.partition("@")[0])
    return HUB_ID.fullmatch(name) is not None and not path.exists() and not Path(name).exists()


def checkpoint_folder(name: str | Path) -> Path:
    """Return the folder of a checkpoint; one of the hub is downloaded first.

    Parameters
    ----------
    name : str or Path
        A folder, or `OWNER/NAME@COMMIT`.

    Raises
    ------
    EngineError
        The name has no commit, or the hub does not have it or cannot be reached.
    """
    if not is_hub_id(str(name)):
        return Path(name)
    repo, _, revision = str(name).partition("@")
    return _download(repo, revision)


def _download(repo: str, revision: str) -> Path:
    # a second to import, and most checkpoints are folders
    from huggingface_hub import HfApi, snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    try:
        if not COMMIT.fullmatch(revision):
            commit = HfApi().repo_info(repo, revision=revision or None).sha
            raise EngineError(f"{name} names no commit; today that is {repo}@{commit}")
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=WANTED))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(repo, revision=revision, allow_patterns=TORCH_WEIGHTS)
    except EngineError:
        raise
    except Exception as error:  # the client lets those of its HTTP library through
        reason = str(error).strip().partition("\n")[0]
        raise EngineError(f"{name} is no folder, and the hub does not give it: {reason}") from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint.

    Raises
    ------
    CheckpointMismatch
        It is none, or lies so deep that nobody wrote it by hand or machine.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointMismatch(f"{path} is no JSON: {type(error).__name__}") from error
    if not isinstance(values, dict):
        raise CheckpointMismatch(f"{path} holds no JSON object")
    return values


def require_vacant(folder: Path) -> None:
    """Raise `CheckpointMismatch` unless a folder is missing or empty: nothing is overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointMismatch(f"{folder} is there already, and not empty")


def seal(folder: Path) -> str:
    """Vouch for the files of a folder as they are now; return the checkpoint's digest."""
    (folder / MANIFEST).write_text(_lines(_files(folder)), encoding="utf-8")
    return manifest_digest(folder)


def seal_again(folder: Path) -> None:
    """Vouch anew for a folder in which a file has changed, where a manifest vouched before."""
    if (folder / MANIFEST).is_file():
        seal(folder)


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
