"""The script for a GPU, at small size on a CPU: every part runs, and what fails is told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu
from engine.inference import compiled

CPU = torch.device("cpu")


def figures(part: str) -> dict[str, Any]:
    """What a part finds, as its process would print it."""
    found: dict[str, Any] = json.loads(json.dumps(gpu.PARTS[part].run(gpu.SMALL, CPU)))
    return found


@pytest.mark.parametrize("kind", ["bf16", "int8", "nf4"])
def test_decoding_is_held_against_its_limits_and_hugging_face(kind: str) -> None:
    found = figures(f"decode {kind}")
    assert found["quantization"] == ("none" if kind == "bf16" else kind)
    assert found["first_tokens_equal"] == found["new_tokens"]
    # The difference of two short times, which a busy machine may turn round: its size says nothing
    assert math.isfinite(found["of_bandwidth_limit"])
    assert found["prefill_times_limit"] > 0
    assert 0 < found["measured_mib"] <= found["counted_total_mib"]


def test_the_forms_of_the_encoder_are_compared() -> None:
    found = figures("encoder forms")
    assert set(found["median_seconds"]) == {
        "inference",
        "inference in bfloat16",
        "trained",
        "published",
    }
    moved = found["largest_relative_difference"]
    assert max(moved["inference"]) < 1e-4
    assert 1e-4 < max(moved["inference in bfloat16"]) < 0.1
    assert gpu.goals({"encoder forms": found})["encoder by its published form, at least 4"] > 0


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
def test_after_warming_up_every_step_finds_its_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "HOW", dict(compiled.HOW))
    found = figures("graph hits")
    assert (found["graphs_at_warm_up"], found["graphs_later"], found["fallbacks"]) == (3, 0, 0)
    assert (found["steps"], found["hit_rate"]) == (42, 1.0)


@pytest.mark.parametrize("stage", ["stage 1", "stage 3"])
def test_steps_of_training_are_timed(stage: str) -> None:
    found = figures(stage)
    assert found["steps_per_s"] > 0
    assert found["losses_finite"]
    assert found["images"] == 2


def test_a_part_that_takes_too_long_or_fails_says_so_and_the_others_run(tmp_path: Path) -> None:
    asked, records = [], []

    def run(name: str, seconds: float) -> dict[str, Any]:
        asked.append((name, seconds <= gpu.PARTS[name].budget_s))
        return {"failed": "out of memory"} if name == "stage 1" else {"found": 1}

    results = gpu.run_parts(run, lambda so_far: records.append(len(so_far)))
    assert asked == [(name, True) for name in gpu.PARTS]
    assert results["stage 1"]["failed"] == "out of memory"
    assert results["stage 3"]["found"] == 1
    assert records == list(range(1, len(gpu.PARTS) + 1))


def test_no_part_begins_once_the_time_is_over() -> None:
    results = gpu.run_parts(lambda *_: pytest.fail("it began"), lambda _: None, seconds=0)
    assert {one["failed"] for one in results.values()} == {"no time was left of 0 s"}


def test_the_parts_together_take_no_more_than_eight_minutes() -> None:
    assert sum(part.budget_s for part in gpu.PARTS.values()) <= gpu.SECONDS == 480


def test_a_process_that_is_not_done_in_time_is_ended() -> None:
    found = gpu.alone("stage 1", 0.01, device="cpu", small=True)
    assert found == {"failed": "not done within 0 s"}
