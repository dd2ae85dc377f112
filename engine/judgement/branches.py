"""What a model could have written in place of its sentences, weighed in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.network.vision_language_model import VisionLanguageModel


@dataclass(frozen=True)
class Branch:
    """Tokens that could stand in a text from a place on.

    Parameters
    ----------
    at : int
        Tokens of the text, prompt and images included, that come before.
    ids : list of int
    """

    at: int
    ids: list[int]


def branch_likelihoods(
    model: VisionLanguageModel, trunk: Tensor, branches: Sequence[Branch]
) -> Tensor:
    """Return the log-likelihood of each branch after what comes before it.

    All are read in one pass behind the text. A tree mask lets each see the text up to its place
    and itself, and its positions go on from there.

    Parameters
    ----------
    model : VisionLanguageModel
        Of which every layer attends (`can_branch`).
    trunk : Tensor, shape (1, n, hidden size)
        The embeddings of prompt and text.
    branches : sequence of Branch
        At least one token each.

    Returns
    -------
    Tensor of float32, shape (branches,)
    """
    n, device = trunk.shape[1], trunk.device
    # what follows a branch's last token is not asked
    read = [one.ids[:-1] for one in branches]
    owner = torch.tensor([-1] * n + [i for i, ids in enumerate(read) for _ in ids], device=device)
    position = [place for one in branches for place in range(one.at, one.at + len(one.ids) - 1)]
    ids = torch.tensor([[token for ids in read for token in ids]], device=device, dtype=torch.long)
    at = torch.tensor([one.at for one in branches], device=device)
    first = min(one.at for one in branches) - 1
    logits = model(
        torch.cat([trunk, model.embed_tokens(ids)], dim=1),
        attention_mask=_tree(owner, at)[None, None],
        position_ids=torch.tensor([[*range(n), *position]], device=device),
        logits_to_keep=len(owner) - first,
    )[0]
    likelihoods, begin = [], n - first
    for one, ids_read in zip(branches, read, strict=True):
        asked = [one.at - 1 - first, *range(begin, begin + len(ids_read))]
        told = logits[asked].float()  # of a large vocabulary all at once would be gigabytes
        likelihoods.append((told[range(len(asked)), one.ids] - told.logsumexp(dim=-1)).sum())
        begin += len(ids_read)
    return torch.stack(likelihoods)


def can_branch(model: VisionLanguageModel) -> bool:
    """Whether every layer of the language model attends; a recurrent one knows no tree."""
    kinds = getattr(model.llm_config, "layer_types", None) or ()
    return not any("linear" in kind for kind in kinds)


def _tree(owner: Tensor, at: Tensor) -> Tensor:
    """Say which token may see which: bool (queries, keys), of each token's branch, -1 the text's.

    `at` is where each branch begins.
    """
    order = torch.arange(len(owner), device=owner.device)
    in_text = owner == -1
    # a token of the text sees all of it that comes before
    reach = torch.where(in_text, len(owner), at[owner.clamp(min=0)])
    own = owner[:, None] == owner[None]
    trunk = in_text[None] & (order[None] < reach[:, None])
    return (own | trunk) & (order[None] <= order[:, None])
