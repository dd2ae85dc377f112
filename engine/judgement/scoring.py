"""The posterior of the facts of each finding: what the images say beside what the text says.

A model's alternatives at a place are all sentences that state a fact of the finding. Their
likelihoods are summed for each fact, compared within the finding, and averaged over moved images.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from dicom_io.model_input.preprocess import ModelInput
from engine.judgement.branches import Branch, branch_likelihoods, can_branch
from engine.judgement.moving import moved
from engine.judgement.phrasing import Phrasing, Spoken
from engine.judgement.places import cut_at, end_of_findings
from engine.judgement.scores import Score
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import Generation

Posteriors = Mapping[str, Mapping[str, float]]
"""Of each fact of each finding."""


@dataclass(frozen=True)
class Alternative:
    """A sentence that could have been written.

    Parameters
    ----------
    finding, fact : str
        That it states.
    branch : Branch
        Its tokens.
    """

    finding: str
    fact: str
    branch: Branch


@dataclass(frozen=True, eq=False)
class FactScorer:
    """Weighs the facts of findings by what a model could have written.

    Parameters
    ----------
    model : VisionLanguageModel
        In eval mode.
    tokenizer : Tokenizer
    phrasings : sequence of Phrasing
        Those without facts are left out.
    """

    model: VisionLanguageModel
    tokenizer: Tokenizer
    phrasings: Sequence[Phrasing]

    def posteriors(
        self,
        prompt: Tensor,
        model_input: ModelInput,
        generation: Generation,
        said: Sequence[Spoken],
        until: float = float("inf"),
    ) -> Posteriors:
        """Weigh the facts of each finding where the text speaks of it, else at Findings' end.

        Parameters
        ----------
        prompt : Tensor of int, shape (1, n)
            Placeholders and the question that the report answers.
        model_input : ModelInput
            What the text was written of.
        generation : Generation
        said : sequence of Spoken
            Its sentences; the first about a finding is where it is weighed.
        until : float
            By `time.monotonic`: nothing is begun after it, and what is not complete is left out.
        """
        alternatives = list(self._alternatives(prompt.shape[1], generation, said))
        if not alternatives or not can_branch(self.model):
            return {}
        ids = torch.cat([prompt, prompt.new_tensor([generation.token_ids])], dim=1)
        seen = []
        for one in moved(model_input):
            if time.monotonic() >= until:
                return {}
            seen.append(self._shares(ids, one, alternatives))
        return averaged(seen)

    def _alternatives(
        self, asked: int, generation: Generation, said: Sequence[Spoken]
    ) -> Iterator[Alternative]:
        places = {one.phrasing.finding: one.start for one in reversed(said)}
        for phrasing in self.phrasings:
            start = places.get(phrasing.finding)
            at, lead = end_of_findings(generation) if start is None else cut_at(generation, start)
            for fact, wordings in phrasing.facts.items():
                for wording in wordings:
                    ids = self.tokenizer.encode(lead + wording, add_special_tokens=False).ids
                    yield Alternative(phrasing.finding, fact, Branch(asked + at, ids))

    def _shares(
        self, ids: Tensor, model_input: ModelInput, alternatives: Sequence[Alternative]
    ) -> Posteriors:
        volume = torch.from_numpy(model_input.pixels)[None].to(ids.device)
        tokens = self.model.image_tokens(self.model.encode_image(volume))
        trunk = self.model.embed_prompt(ids, tokens)
        branches = [one.branch for one in alternatives]
        likelihoods = branch_likelihoods(self.model, trunk, branches).cpu().double()
        return normalised(alternatives, likelihoods.numpy())


def normalised(alternatives: Sequence[Alternative], likelihoods: np.ndarray) -> Posteriors:
    """Sum the likelihoods of the wordings of each fact, and compare within each finding.

    Parameters
    ----------
    alternatives : sequence of Alternative
    likelihoods : ndarray of float64, shape (alternatives,)
        Logarithms.
    """
    found: dict[str, dict[str, float]] = {}
    for finding in {one.finding for one in alternatives}:
        own = [i for i, one in enumerate(alternatives) if one.finding == finding]
        shares = np.exp(likelihoods[own] - likelihoods[own].max())
        facts: dict[str, float] = {}
        for i, share in zip(own, shares / shares.sum(), strict=True):
            facts[alternatives[i].fact] = facts.get(alternatives[i].fact, 0.0) + float(share)
        found[finding] = facts
    return found


def averaged(seen: Sequence[Posteriors]) -> Posteriors:
    """Average the posteriors of the same findings over several looks."""
    return {
        finding: {fact: float(np.mean([one[finding][fact] for one in seen])) for fact in facts}
        for finding, facts in seen[0].items()
    }


def scored(
    said: Sequence[Spoken], phrasings: Sequence[Phrasing], posteriors: Posteriors
) -> tuple[Score, ...]:
    """Put beside each sentence, and each finding without one, what the images say of it.

    Parameters
    ----------
    said : sequence of Spoken
        In the order of the text.
    phrasings : sequence of Phrasing
        Of all findings that are looked for.
    posteriors : mapping
        A finding without one is left out.
    """
    mentioned = {one.phrasing.finding for one in said}
    spoken = ((one.phrasing.finding, one.fact, one.span) for one in said)
    silent = ((p.finding, None, None) for p in phrasings if p.finding not in mentioned)
    return tuple(
        Score(finding, posteriors[finding], fact, span)
        for finding, fact, span in (*spoken, *silent)
        if finding in posteriors
    )
