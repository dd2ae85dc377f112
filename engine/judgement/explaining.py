"""From a written report to the evidence of its sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from dicom_io.model_input.preprocess import ModelInput
from dicom_io.volume.orientation import acquisition_plane
from engine.judgement.baselines import Baselines, Box, Contrast, body_box
from engine.judgement.evidence import (
    Lag,
    Wordings,
    attributed,
    divided_tower,
    evidence_map,
    in_body,
    little_kept,
)
from engine.judgement.places import cut_at
from engine.judgement.protocol import Evidence
from engine.judgement.size import is_too_slow
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import Generation


@dataclass(frozen=True, eq=False)
class Seen:
    """What the tower made of a study's input.

    Parameters
    ----------
    plane : str
        Of its slices.
    own : Tensor, shape (1, D, H, W, C)
        The tower's early map of it.
    body : Tensor of bool, shape (D, H, W)
        The cells in the body.
    box : Box
        Where the body lies.
    lag : Lag
        Of the tower's cells.
    """

    plane: str
    own: Tensor
    body: Tensor
    box: Box
    lag: Lag


def explainer_for(
    model: VisionLanguageModel, tokenizer: Tokenizer, baselines: Baselines | None
) -> Explainer | None:
    """Return what finds the evidence of a model's sentences; None where nothing can.

    Parameters
    ----------
    model : VisionLanguageModel
        On the device where it will run.
    tokenizer, baselines
        As `Explainer` takes them; None where nobody has measured baselines.
    """
    if baselines is None:
        return None
    explainer = Explainer(model, tokenizer, baselines)
    return explainer if explainer.can_explain else None


@dataclass(frozen=True, eq=False)
class Explainer:
    """Finds the evidence of a model's sentences.

    Parameters
    ----------
    model : VisionLanguageModel
        In eval mode.
    tokenizer : Tokenizer
    baselines : Baselines
        What is said of absent findings, and what images without them look like.
    """

    model: VisionLanguageModel
    tokenizer: Tokenizer
    baselines: Baselines

    @property
    def can_explain(self) -> bool:
        """Whether the model's tower can be entered, and the device is fast enough for its size."""
        return divided_tower(self.model) is not None and not is_too_slow(self.model)

    def explain(
        self,
        prompt: Tensor,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        within_s: float = float("inf"),
    ) -> tuple[Evidence, ...]:
        """Find the evidence of sentences; see `Explains.explain`.

        Parameters
        ----------
        prompt : Tensor of int, shape (1, n)
            Placeholders and the question that the report answers.
        model_input, generation, spans, within_s
            As there.
        """
        until = time.monotonic() + within_s
        spoken = [
            (span, contrast)
            for span in spans
            if (contrast := self.baselines.contrast(generation.text[slice(*span)]))
        ]
        seen = self._see(model_input, prompt.device)
        found: dict[str, Evidence | None] = {}
        with little_kept(self.model):
            for span, contrast in spoken:
                # the impression repeats what Findings say, and has the same evidence
                if contrast.finding not in found:
                    wordings = self._wordings(prompt, generation, span, contrast)
                    found[contrast.finding] = self._evidence(seen, contrast, wordings, until)
        named = ((span, found[contrast.finding]) for span, contrast in spoken)
        return tuple(replace(one, span=span) for span, one in named if one is not None)

    @torch.no_grad()
    def _see(self, model_input: ModelInput, device: torch.device) -> Seen:
        volume = torch.from_numpy(model_input.pixels)[None].to(device)
        tower = divided_tower(self.model)
        assert tower is not None
        own = tower.to_grid(volume).clone()
        plane = acquisition_plane(model_input.affine_lps)
        return Seen(plane, own, in_body(volume, own), body_box(volume), tower.lag)

    def _evidence(
        self, seen: Seen, contrast: Contrast, wordings: Wordings, until: float
    ) -> Evidence | None:
        """Look for the evidence of one sentence; None where there is none, or no time or mean."""
        baseline = self.baselines.aligned(seen.plane, contrast.finding, seen.box)
        if baseline is None:
            return None
        ends = (baseline.to(seen.own), seen.own)
        attribution = attributed(self.model, ends, wordings, until=until)
        if attribution is None:
            return None
        weights = evidence_map(attribution * seen.body, seen.lag)
        most = float(weights.max())
        if not most > 0:
            return None
        return Evidence((0, 0), contrast.finding, (weights / most).cpu().numpy())

    def _wordings(
        self,
        prompt: Tensor,
        generation: Generation,
        span: tuple[int, int],
        contrast: Contrast,
    ) -> Wordings:
        """Cut the tokens at a sentence, and spell its denials as they would follow there."""
        first, lead = cut_at(generation, span[0])
        last, _ = cut_at(generation, span[1] - 1)
        ids = generation.token_ids
        return Wordings(
            before=torch.cat([prompt, prompt.new_tensor([ids[:first]])], dim=1),
            sentence=list(ids[first : last + 1]),
            denials=[
                self.tokenizer.encode(lead + said, add_special_tokens=False).ids
                for said in contrast.denials
            ],
        )
