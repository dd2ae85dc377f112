"""Checkpoints on the Hugging Face hub, named `OWNER/NAME@COMMIT`.

A branch or tag moves, and a model must not change because a service was restarted: so a name
without a commit is refused, with the commit that it means now. What was downloaded is used again
without the network. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` work as everywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

from dicom_io.errors import EngineError

HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")

WANTED = [
    "*.json",
    "*.txt",
    "*.jinja",
    "*.model",
    "*.safetensors",
    "SHA256SUMS",
    "vision_tower.bin",
]
TORCH_WEIGHTS = ["pytorch_model*.bin"]


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
