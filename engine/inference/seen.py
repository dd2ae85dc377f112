"""What the vision tower made of a volume, before anything is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


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
