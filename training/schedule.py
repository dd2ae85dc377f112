"""AdamW with linear warm-up and a cosine to zero (paper, section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

WARM_UP = 0.03


def optimizer_and_schedule(
    parameters: Iterable[nn.Parameter], steps: int, learning_rate: float, weight_decay: float
) -> tuple[AdamW, LambdaLR]:
    """Build both; weight decay spares vectors and scalars (norms, biases, temperature)."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, lr=learning_rate)
    warm_up = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        progress = (step - warm_up) / max(1, steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return optimizer, LambdaLR(optimizer, factor)
