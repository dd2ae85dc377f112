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
    return HUB_ID.fullmatch(name) is not None and not Path(name).exists()


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
    from httpx import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        if not COMMIT.fullmatch(revision):
            commit = HfApi().repo_info(repo, revision=revision or None).sha
            meaning = f"{repo}@{revision}" if revision else f"{repo} without a commit"
            raise EngineError(f"{meaning} may change; now it is {repo}@{commit}, name that")
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=WANTED))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(repo, revision=revision, allow_patterns=TORCH_WEIGHTS)
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(f"{repo}@{revision} cannot be had from the hub: {reason}") from error
    return folder
