"""The engine that runs a checkpoint in this process, on the GPU or the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import compress, islice
from pathlib import Path
from string import ascii_uppercase
from threading import Lock
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicom_io.errors import EngineError, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.checkpoints.decoding import Decoding
from engine.inference.cpu import on_cpu
from engine.inference.device import choose_device, choose_dtype, device_memory
from engine.inference.parts import cut_off, joined
from engine.inference.pieces import Pieces
from engine.inference.prompts import Prompts, text_ends, token_id
from engine.inference.quantization import named, quantize
from engine.inference.question import Asked, special_tokens
from engine.inference.questioned import question_posteriors
from engine.inference.seen import Seen
from engine.inference.sequential import TextGenerator, generator_for
from engine.inference.writing import GeneratedTokens
from engine.judgement.explaining import explainer_for
from engine.judgement.phrasing import Phrasing, spoken
from engine.judgement.protocol import Assessment, Evidence
from engine.judgement.scores import Score
from engine.judgement.scoring import FactScorer, scored
from engine.judgement.size import is_too_slow
from engine.network.out_of_distribution import image_features
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import (
    AS_TRAINED,
    Answer,
    Choice,
    Compilation,
    Generation,
    ModelIdentity,
    OnToken,
    Quantization,
    Sampling,
    require_preprocessing,
)

NOTHING = GeneratedTokens((), (), "eos")
"""What is written where the model abstains."""


class LocalEngine:
    """Draft reports with a checkpoint; one call at a time uses the device.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its model stands on the device where it will run.
    generator : callable
        Returns what writes the text, for the model and how tokens are chosen by default.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        generator: Callable[[VisionLanguageModel, Decoding], TextGenerator] = generator_for,
    ):
        self._checkpoint = checkpoint
        self._model: VisionLanguageModel = checkpoint.model
        self._device = next(self._model.parameters()).device
        ends = text_ends(checkpoint)
        image_token = token_id(checkpoint, checkpoint.prompt.image_token)
        self._prompts = Prompts(checkpoint, ends | {image_token} | special_tokens(checkpoint))
        decoding = replace(checkpoint.decoding, ends=ends)
        self._generator = generator(self._model, decoding)
        # A report in parts answers several prompts, and no sentence is known to follow one of them
        baselines = None if checkpoint.prompt.parts else checkpoint.baselines
        self._explainer = explainer_for(self._model, checkpoint.tokenizer, baselines)
        self._one_call = Lock()

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantization: Quantization = "none",
    ) -> LocalEngine:
        """Load a checkpoint, native or published; see `engine.load_engine`."""
        where = choose_device(device)
        precision = choose_dtype(dtype, where)
        # the full weights need not fit the device that is to hold the quantized ones
        first = where if quantization == "none" else torch.device("cpu")
        with device_memory(where):
            checkpoint = named(load_checkpoint(name, device=first, dtype=precision), quantization)
            quantize(checkpoint.model, quantization, where)
            checkpoint.model.to(where)
            return cls(on_cpu(checkpoint, precision) if where.type == "cpu" else checkpoint)

    @property
    def compilation(self) -> Compilation:
        return self._generator.compilation

    def warm_up(self, texts: int) -> None:
        """Compile what reports of up to so many studies together need; see `Compiles`."""
        if not self._generator.compiles:
            return
        longest = Sampling().max_new_tokens
        ids = self._prompts.ids(self._checkpoint.prompt.reports[0], longest)
        with self._running():
            words = self._model.embed_tokens(ids)
            blank = words.new_zeros(1, self._model.image_token_count, words.shape[-1])
            self._generator.warm_up(self._model.embed_prompt(ids, blank)[0], texts, longest)

    @property
    def identity(self) -> ModelIdentity:
        return self._checkpoint.identity

    def ask_identity(self) -> ModelIdentity:
        """Return which model this is, once all that it needs answers; see `Reached`."""
        self._generator.require_ready()
        return self.identity

    @property
    def preprocess(self) -> PreprocessSpec:
        return self._checkpoint.preprocess

    def report(
        self,
        model_input: ModelInput,
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Generation:
        """Draft the report of one volume; see `ReportEngine.report`."""
        return self._reports([model_input], sampling, on_token=on_token)[0]

    def report_samples(
        self, model_input: ModelInput, count: int, sampling: Sampling
    ) -> tuple[Generation, ...]:
        """Draft one volume's report several times; see `ReportEngine.report_samples`."""
        return self._reports([model_input], sampling, samples=count)

    def report_batch(
        self,
        model_inputs: Sequence[ModelInput],
        sampling: Sampling = AS_TRAINED,
        *,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Generation, ...]:
        """Draft the reports of several volumes; see `ReportEngine.report_batch`.

        `seeds` gives each volume its own in place of that of the sampling.
        """
        return self._reports(model_inputs, sampling, seeds=seeds)

    def ask(
        self,
        model_input: ModelInput,
        question: str,
        choices: Sequence[str] = (),
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Answer:
        """Answer a question about one volume; see `ReportEngine.ask`."""
        asked = Asked(model_input, question, tuple(choices))
        return self._answers([asked], sampling, on_token=on_token)[0]

    def ask_batch(
        self, asked: Sequence[Asked], sampling: Sampling = AS_TRAINED
    ) -> tuple[Answer, ...]:
        """Answer several questions together; a volume that several are about is encoded once.

        Each is what `ask` gives for it alone. Raises as `ReportEngine.ask` does.
        """
        return self._answers(asked, sampling)

    @property
    def can_explain(self) -> bool:
        return self._explainer is not None

    def explain(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> tuple[Evidence, ...]:
        """Find the evidence of sentences; see `Explains.explain`."""
        explainer = self._explainer
        if explainer is None or generation.abstained is not None:
            return ()
        require_preprocessing(model_input, self.preprocess)
        prompt = self._prompts.answered_by(generation)
        with self._running(), torch.inference_mode(False), torch.enable_grad():
            return explainer.explain(prompt, model_input, generation, spans, within_s)

    @property
    def can_assess(self) -> bool:
        return self._checkpoint.calibration is not None

    def assess(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> Assessment:
        """Say how sure the model is of sentences; see `Assesses.assess`."""
        calibration = self._checkpoint.calibration
        if calibration is None or generation.abstained is not None:
            return Assessment(())
        known = () if is_too_slow(self._model) else calibration.phrasings
        scores = self.score(model_input, generation, spans, known, within_s=within_s)
        return calibration.assessment(scores)

    def score(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        phrasings: Sequence[Phrasing],
        *,
        within_s: float = float("inf"),
    ) -> tuple[Score, ...]:
        """Weigh what sentences say of findings, and findings without one, before calibration.

        Parameters
        ----------
        model_input, generation, spans, within_s
            See `Assesses.assess`. What the model abstained from has no score.
        phrasings : sequence of Phrasing
            How it speaks of the findings.
        """
        if generation.abstained is not None:
            return ()
        require_preprocessing(model_input, self.preprocess)
        until = monotonic() + within_s
        said = spoken(generation.text, spans, phrasings)
        posteriors = dict(question_posteriors(self, model_input, phrasings, until))
        # what was asked organ by organ is no one text
        whole = () if self._checkpoint.prompt.parts else phrasings
        prompt = self._prompts.answered_by(generation)
        asked = (prompt, model_input, generation, said, until)
        with self._running():
            scorer = FactScorer(self._model, self._checkpoint.tokenizer, whole)
            posteriors |= scorer.posteriors(*asked)
        return scored(said, phrasings, posteriors)

    def _answers(
        self, asked: Sequence[Asked], sampling: Sampling, *, on_token: OnToken | None = None
    ) -> tuple[Answer, ...]:
        if not self._checkpoint.prompt.answers_questions:
            raise EngineError(
                f"the model {self.identity.name} was trained to write reports only; "
                "it answers no questions"
            )
        volumes = {id(one.model_input): one.model_input for one in asked}
        for volume in volumes.values():
            require_preprocessing(volume, self.preprocess)
        read = [self._prompts.question_ids(one, sampling.max_new_tokens) for one in asked]
        with self._running():
            seen_once = {key: self._see(volume) for key, volume in volumes.items()}
            seen = [seen_once[id(one.model_input)] for one in asked]
            written = [saw.abstained is None for saw in seen]
            asks = zip(read, seen, strict=True)
            prompts = [self._spliced(ids, saw) for (ids, _), saw in compress(asks, written)]
        seeds = [sampling.seed if a.seed is None else a.seed for a in compress(asked, written)]
        answered: Iterator[tuple[list[float], GeneratedTokens]] = iter(())
        if prompts:
            with self._writing():
                prefix = self._generator.read(prompts)
                weights = self._generator.weigh(
                    prefix, [first for _, first in compress(read, written)]
                )
                spell = self._spell(on_token)
                tokens = self._generator.write(prefix, sampling, seeds=seeds, on_token=spell)
            answered = zip(weights, tokens, strict=True)
        return tuple(
            self._answer(one, saw, *next(answered))
            if saw.abstained is None
            else Answer(self._generation(NOTHING, saw))
            for one, saw in zip(asked, seen, strict=True)
        )

    def _answer(
        self,
        asked: Asked,
        seen: Seen,
        probabilities: list[float],
        tokens: GeneratedTokens,
    ) -> Answer:
        choices = map(Choice, ascii_uppercase, asked.choices, probabilities)
        return Answer(self._generation(tokens, seen), tuple(choices))

    def _reports(
        self,
        model_inputs: Sequence[ModelInput],
        sampling: Sampling,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        on_token: OnToken | None = None,
    ) -> tuple[Generation, ...]:
        for model_input in model_inputs:
            require_preprocessing(model_input, self.preprocess)
        known = self._checkpoint.prompt
        asked = [self._prompts.ids(text, sampling.max_new_tokens) for text in known.reports]
        with self._running():
            seen = [self._see(model_input) for model_input in model_inputs]
            writes = [one.abstained is None for one in seen]
            asks = [self._spliced(ids, one) for one in compress(seen, writes) for ids in asked]
        written: Iterator[GeneratedTokens] = iter(())
        if asks:
            own = seeds and [seed for seed in compress(seeds, writes) for _ in asked]
            # parts are written together, and told when all of them are there
            spell = None if known.parts else self._spell(on_token)
            write = partial(self._generator.write, samples=samples, seeds=own, on_token=spell)
            with self._writing():
                written = iter(write(self._generator.read(asks), sampling))
        reports = tuple(report for one in seen for report in self._of_one(one, written, samples))
        if known.parts and on_token is not None:
            for token in reports[0].tokens:
                on_token(token)
        return reports

    def _of_one(
        self, seen: Seen, written: Iterator[GeneratedTokens], samples: int
    ) -> Iterator[Generation]:
        """Take one volume's texts: of each part in turn all its samples."""
        if seen.abstained is not None:
            yield from [self._generation(NOTHING, seen)] * samples
            return
        known = self._checkpoint.prompt
        parts = [list(islice(written, samples)) for _ in known.reports]
        for tokens in zip(*parts, strict=True):
            whole = (self._generation(one, seen) for one in tokens)
            yield joined([cut_off(one, known.cut_at) for one in whole])

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            with self._one_call, device_memory(self._device), torch.inference_mode():
                yield
        except OutOfDeviceMemory:
            self._generator.forget()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise

    def _writing(self) -> AbstractContextManager[None]:
        """Text that is written elsewhere leaves the device to the next volume."""
        return self._running() if self._generator.alone else nullcontext()

    def _see(self, model_input: ModelInput) -> Seen:
        volume = torch.from_numpy(model_input.pixels)[None].to(self._device)
        # TF32 would make the embedding, and so the abstention, depend on the device
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            hidden_states = self._model.encode_image(volume)
        return Seen(
            embedding=hidden_states[-1][0].float().mean(dim=0).cpu().numpy(),
            image_tokens=self._model.image_tokens(hidden_states),
            abstained=self._reason_to_abstain(volume, hidden_states, model_input.affine_lps),
        )

    def _reason_to_abstain(
        self, volume: Tensor, hidden_states: list[Tensor], affine_lps: NDArray[np.float64]
    ) -> str | None:
        distribution = self._checkpoint.distribution
        if distribution is None:
            return None
        return distribution.reason_to_abstain(image_features(volume, hidden_states, affine_lps))

    def _spliced(self, ids: Tensor, seen: Seen) -> Tensor:
        return self._model.embed_prompt(ids, seen.image_tokens)[0]

    def _spell(self, on_token: OnToken | None) -> Callable[[int], None] | None:
        if on_token is None:
            return None
        split = Pieces(self._checkpoint.tokenizer)
        return lambda token: on_token(split.add(token))

    def _generation(self, tokens: GeneratedTokens, seen: Seen) -> Generation:
        return seen.generation(tokens, self._checkpoint.tokenizer, self.identity)
