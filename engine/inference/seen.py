"""What the vision tower made of a volume, before anything is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from engine.inference.pieces import pieces
from engine.inference.writing import GeneratedTokens
from engine.protocol import Generation, ModelIdentity


@dataclass(frozen=True, eq=False)
class Seen:
    """What the vision tower made of one volume.

    Parameters
    ----------
    embedding : ndarray of float32, shape (width,)
        Mean over the tokens of its last stage.
    image_tokens : Tensor, shape (1, n, hidden size)
    abstained : str or None
        Why the model must not describe it.
    """

    embedding: NDArray[np.float32]
    image_tokens: Tensor
    abstained: str | None

    def generation(
        self, tokens: GeneratedTokens, tokenizer: Tokenizer, identity: ModelIdentity
    ) -> Generation:
        """Return what a model wrote of it.

        Parameters
        ----------
        tokens : GeneratedTokens
        tokenizer : Tokenizer
        identity : ModelIdentity
            Who wrote it.
        """
        text_pieces = pieces(tokenizer, tokens.ids)
        return Generation(
            text="".join(text_pieces),
            tokens=text_pieces,
            token_ids=tokens.ids,
            token_logprobs=tokens.logprobs,
            image_embedding=self.embedding,
            identity=identity,
            finish_reason=tokens.finish_reason,
            abstained=self.abstained,
        )
