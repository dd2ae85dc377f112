import numpy as np
import pytest
import torch

from dicom_io.phantom import Truth, draw_truth
from training.phantom_recipe import Finetune, Recipe, Stage, Streams, TextEncoder

STAGE = Stage(steps=3, batch=2, learning_rate=1e-3, weight_decay=0.01)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Every part of the embedded model's recipe, as small as it can be."""
    return Recipe(
        seed=3,
        training_seeds=(1, 5),
        distribution_seeds=(1, 7),
        validation_seeds=(11, 14),
        test_seeds=(21, 24),
        preprocess={"size": [16, 32, 32], "window": [-200, 300], "scaling": "fixed"},
        vision={
            "blocks": [1, 1, 1, 1],
            "channels": [4, 4, 8, 12, 16],
            "stem": "patch",
            "layer_scale": 0.3,
            "input_size": [16, 32, 32],
        },
        text=TextEncoder(dim=16, hidden_dim=32, n_layers=1, n_heads=2, width=8),
        projector=Streams(low=(16, 24), high=(4, 8)),
        llm={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        },
        contrastive=STAGE,
        language=STAGE,
        projection=STAGE,
        finetune=Finetune(**STAGE.model_dump(), lora_rank=2, lora_alpha=4, lora_dropout=0.1),
    )


@pytest.fixture(scope="session")
def truths() -> list[Truth]:
    rng = np.random.default_rng(1)
    return [draw_truth(rng) for _ in range(6)]


@pytest.fixture(autouse=True)
def _same_every_time() -> None:
    torch.manual_seed(0)
