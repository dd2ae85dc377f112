"""Accelerate, set up as a recipe says; DeepSpeed where several processes work."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DeepSpeedPlugin, InitProcessGroupKwargs, ProjectConfiguration

from training.recipe.recipe import Run
from training.recipe.stages import Stage
from training.run.plan import Plan

BUCKET = 50_000_000
"""Gradients that travel at once, in values: DeepSpeed's own half a billion would take 4 GB."""


def make_accelerator(run: Run, plan: Plan, out: Path) -> Accelerator:
    """Build it: bf16 is autocast, with the trained weights in float32, on one rank and on many.

    Parameters
    ----------
    run : Run
    plan : Plan
    out : Path
        Of the run; logs go there.
    """
    several = plan.world > 1
    plugin, processes = None, []
    if several:
        _quieten()
        plugin = DeepSpeedPlugin(hf_ds_config=deepspeed_config(run, plan.stage, plan.passes))
        # Accelerate knows no DeepSpeed on the CPU unless the backend is named
        name = "nccl" if torch.cuda.is_available() else "gloo"
        processes = [InitProcessGroupKwargs(name)]
    # a run before this one in the same process may have had another precision
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision="no" if several or run.precision == "fp32" else "bf16",
        gradient_accumulation_steps=plan.passes,
        deepspeed_plugin=plugin,
        log_with=cast(Any, ["tensorboard", *run.trackers]),
        project_config=ProjectConfiguration(str(out), str(out / "logs")),
        step_scheduler_with_optimizer=False,
        kwargs_handlers=processes,
    )


def _quieten() -> None:
    """Leave out what only DeepSpeed's developers can act on, and what would be compiled."""
    for name in ("all_gather_into_tensor", "reduce_scatter_tensor"):
        message = f"`torch.distributed.{name}` is deprecated"
        warnings.filterwarnings("ignore", message, FutureWarning)
    if not torch.cuda.is_available():
        import deepspeed

        # its own all-reduce of CPU ranks needs a compiler; gloo does without
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def deepspeed_config(run: Run, stage: Stage, passes: int) -> dict[str, Any]:
    """Derive DeepSpeed's configuration; nobody writes a second file.

    Parameters
    ----------
    run, stage : Run, Stage
        Tables of the recipe.
    passes : int
        Micro-batches of a rank for one step.
    """
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": stage.micro_batch,
        "gradient_accumulation_steps": passes,
        "gradient_clipping": stage.clip,
        "zero_optimization": {
            "stage": run.zero,
            "overlap_comm": run.zero > 0,
            "contiguous_gradients": True,
            "reduce_bucket_size": BUCKET,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1 << 30,
    }
    if run.precision == "bf16":
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
    return config
