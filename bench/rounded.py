"""What a vision tower in bfloat16 changes: hidden states, distances that limits bound, and texts.

The embedded model sees phantoms twice in one process, in float32 and with its tower in bfloat16;
projector and language model stay in float32 both times. Correct on every processor, fast on those
with AVX512-BF16 or AMX only. Run `python -m bench.rounded`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec, prepare
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.checkpoints.checkpoint import load_checkpoint
from engine.inference.device import has_bfloat16_units
from engine.inference.local import LocalEngine
from engine.network.out_of_distribution import (
    image_features,
)
from engine.network.towers.inference_form import use_inference_form
from engine.protocol import Generation, Sampling

GREEDY = Sampling(temperature=0.0)
FIRST_SEED = 920_000
"""Of phantoms that the embedded model neither saw nor is judged by."""


def phantom_inputs(count: int, spec: PreprocessSpec) -> Iterator[ModelInput]:
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        yield prepare(make_phantom(seed).volume, spec)


class Side:
    """The embedded model with its tower in one type."""

    def __init__(self, dtype: torch.dtype):
        checkpoint = load_checkpoint(EMBEDDED)
        use_inference_form(checkpoint.model, dtype)
        self.distribution = checkpoint.distribution
        self.model = checkpoint.model
        # abstention is looked at apart: here every phantom is to be described
        self.engine = LocalEngine(replace(checkpoint, distribution=None))

        self.processor_s: list[float] = []

    @torch.inference_mode()
    def see(self, given: ModelInput) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the hidden states, and the distances of `image_features`."""
        assert self.distribution is not None
        volume = torch.from_numpy(given.pixels)[None]
        before = time.process_time()  # other work on the machine disturbs it less than the clock
        states = self.model.encode_image(volume)
        self.processor_s.append(time.process_time() - before)
        features = image_features(volume, states, given.affine_lps)
        gaussians = self.distribution.gaussians
        return states, {name: gaussians[name].distance(x) for name, x in features.items()}

    def write(self, given: ModelInput) -> Generation:
        return self.engine.report(given, GREEDY)


def compare(count: int, texts: int) -> dict[str, Any]:
    """Compare both sides.

    Parameters
    ----------
    count, texts : int
        Phantoms that are seen, and how many of them are described.
    """
    full, rounded = Side(torch.float32), Side(torch.bfloat16)
    moved: list[list[float]] = []
    distances: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    written: list[tuple[Generation, Generation]] = []
    for place, given in enumerate(phantom_inputs(count, full.engine.preprocess)):
        (states, far), (others, far_rounded) = full.see(given), rounded.see(given)
        moved.append([relative(a, b) for a, b in zip(others, states, strict=True)])
        distances.append((far, far_rounded))
        if place < texts:
            written.append((full.write(given), rounded.write(given)))
    farthest = [
        {
            name: torch.cat([pair[side][name] for pair in distances]).max()
            for name in distances[0][0]
        }
        for side in (0, 1)
    ]
    assert full.distribution is not None
    limits = {name: g.limit for name, g in full.distribution.gaussians.items()}
    return {
        "embedded_model": full.engine.identity.digest,
        "torch": torch.__version__,
        "processor_has_bfloat16_units": has_bfloat16_units(),
        "phantoms": count,
        "processor_seconds": {
            kind: round(median(side.processor_s), 4)
            for kind, side in (("float32", full), ("bfloat16", rounded))
        },
        "hidden_states_moved_by": [f"{sum(s) / count:.1e}" for s in zip(*moved, strict=True)],
        "farthest_over_float32_limit": {
            kind: {name: round(float(far[name] / limits[name]), 3) for name in limits}
            for kind, far in zip(("float32", "bfloat16"), farthest, strict=True)
        },
        "texts": texts_changed(written),
    }


def relative(found: Tensor, wanted: Tensor) -> float:
    """Length of the difference by the length of what is wanted."""
    return float((found - wanted).norm() / wanted.norm())


def texts_changed(written: list[tuple[Generation, Generation]]) -> dict[str, Any]:
    places = [
        a == b
        for one, other in written
        for a, b in zip(one.token_ids, other.token_ids, strict=False)
    ]
    logprobs = [
        abs(a - b)
        for one, other in written
        if one.token_ids == other.token_ids
        for a, b in zip(one.token_logprobs, other.token_logprobs, strict=True)
    ]
    return {
        "written": len(written),
        "changed": sum(one.text != other.text for one, other in written),
        "tokens": len(places),
        "tokens_changed": places.count(False),
        "log_probability_moved_at_most": round(max(logprobs, default=0.0), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", type=int, default=300)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    figures = compare(options.phantoms, options.texts)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.record:
        options.record.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
