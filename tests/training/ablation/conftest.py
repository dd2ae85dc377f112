from pathlib import Path

import pytest

from training.ablation.run import run_ablation
from training.evaluation.metrics.text_metrics import BLEU_1, ROUGE_1, PairMetric
from training.recipe.recipe import Recipe, load_recipe

METRICS = [BLEU_1, ROUGE_1, PairMetric("METEOR", lambda said, wanted: float(said == wanted))]
"""METEOR has a file of its own; here it only has to be there."""

TABLES = (5, 8)
STAGES = ("contrastive", "language", "projector", "finetune")
CHANGES = (
    "phantoms.train=[1,17]",
    "phantoms.validation=[800001,800003]",
    "phantoms.test=[900000,900006]",
    "preprocess.size=[16,32,32]",
    "vision.channels=[8,8,8,8,8]",
    "ablation.reports=3",
    "ablation.questions=2",
    "ablation.max_new_tokens=6",
    "ablation.vit3d.patch=[8,16,16]",
    "ablation.vit3d.width=16",
    "ablation.vit3d.layers=1",
    *(f"{stage}.{key}" for stage in STAGES for key in ("steps=1", "global_batch=4")),
    *(f"{stage}.micro_batch=4" for stage in STAGES),
)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """The recipe that comes along, so small that nothing is learnt."""
    return load_recipe("ablation", CHANGES)


@pytest.fixture(scope="session")
def out(tiny, tmp_path_factory) -> Path:
    """A finished ablation of tables 5 and 8."""
    folder = tmp_path_factory.mktemp("ablation")
    run_ablation(tiny, folder, METRICS, tables=TABLES)
    return folder
