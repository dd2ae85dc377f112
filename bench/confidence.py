"""What a model's confidence is worth: `python -m bench.confidence`.

Phantoms that nobody has seen, a third of each grade: the model writes, and what it says of each
finding is weighed (`engine.judgement.scoring`). Of two halves one fits the calibration, the other
measures it, and the other way round; figures are pooled over both. A sentence of Findings is right
when finding and side are. Intervals: 95 %, bootstrap over phantoms.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors_told import auroc, calibration_error, interval, wrong_after
from bench.evidence import wilson
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.grades import GRADES
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.checkpoints.calibrated import own_calibration, trained_digest
from engine.checkpoints.checkpoint import describe
from engine.inference.local import LocalEngine
from engine.judgement.calibration import Calibration
from engine.judgement.fitting import fit
from engine.judgement.phrasing import ABSENT
from engine.judgement.scores import Case, Score, cases_of
from engine.protocol import GREEDY, Generation
from reporting.text.sentences import sentence_spans
from training.export.phrasings import phantom_facts, phantom_phrasings, phantom_questions

FIRST_SEED = 95_000_000
"""No phantom of training, of the calibration that ships, or of another benchmark lies above."""

PHRASINGS = phantom_phrasings()
SPLITS = 100


@dataclass(frozen=True)
class Sentence:
    """One sentence of Findings, with what each signal says of it.

    Parameters
    ----------
    case : Case
        Weighed by facts.
    asked : Case
        Weighed by the model's own question.
    tokens : float
        Mean probability of its tokens.
    grade : str
    """

    case: Case
    asked: Case
    tokens: float
    grade: str

    @property
    def group(self) -> tuple[str, bool]:
        """Its finding, and whether it says that it is there."""
        return self.case.score.finding, self.case.score.said != ABSENT


def weighed(model: Path, seed: int) -> dict[str, Any]:
    """Let the model write of one phantom, and weigh what it says; plain values for JSON."""
    engine = _engine(model)
    grade = GRADES[seed % len(GRADES)]
    phantom = make_phantom(seed, grade=grade)
    model_input = prepare(phantom.volume, engine.preprocess)
    generation = engine.report(model_input, GREEDY)
    spans = sentence_spans(generation.text)
    began = process_time()
    known = engine.score(model_input, generation, spans, PHRASINGS)
    seconds = process_time() - began
    asked = {
        one.finding: dict(one.posterior)
        for one in engine.score(model_input, generation, [], phantom_questions())
    }
    truths = phantom_facts(phantom.truth)
    return {
        "seed": seed,
        "grade": grade,
        "abstained": generation.abstained is not None,
        "seconds": seconds,
        "cases": [
            {
                "finding": one.score.finding,
                "said": one.score.said,
                "truth": one.truth,
                "posterior": dict(one.score.posterior),
                "asked": asked[one.score.finding],
                "tokens": mean_token_probability(generation, one.score.span),
            }
            for one in cases_of(str(seed), known, truths)
        ],
    }


_ENGINES: dict[Path, LocalEngine] = {}


def _engine(model: Path) -> LocalEngine:
    """Load a model once in each process."""
    if model not in _ENGINES:
        torch.set_num_threads(1)
        _ENGINES[model] = LocalEngine.load(model, device="cpu")
    return _ENGINES[model]


def mean_token_probability(generation: Generation, span: tuple[int, int] | None) -> float:
    """Average the probability of a sentence's tokens: what was once called its confidence."""
    if span is None:
        return 0.0
    ends = np.cumsum([len(token) for token in generation.tokens])
    inside = (ends > span[0]) & (ends - [len(token) for token in generation.tokens] < span[1])
    return float(np.exp(np.array(generation.token_logprobs)[inside]).mean())


def sentences(studies: Sequence[dict[str, Any]]) -> list[Sentence]:
    """Read what `weighed` gave, without studies from which the model abstained."""
    found = []
    for study in studies:
        for one in study["cases"]:
            score = Score(one["finding"], one["posterior"], one["said"], (0, 0))
            case = Case(str(study["seed"]), score, one["truth"])
            asked = replace(case, score=replace(score, posterior=one["asked"]))
            found.append(Sentence(case, asked, one["tokens"], study["grade"]))
    return found


Signal = Callable[[Sentence], float]


def cross_fitted(
    known: Sequence[Sentence], case_of: Callable[[Sentence], Case]
) -> Iterator[tuple[Sentence, Case, Calibration]]:
    """Yield each sentence with the calibration that was fitted on the other half."""
    halves = [[one for one in known if _half(one) == half] for half in (0, 1)]
    for mine, other in (halves, halves[::-1]):
        calibration = fit([case_of(one) for one in other], PHRASINGS, name="other half", model="")
        for one in mine:
            yield one, case_of(one), calibration


def _half(sentence: Sentence) -> int:
    """Halves alternate, each with as many phantoms of each grade."""
    return (int(sentence.case.study) - FIRST_SEED) // len(GRADES) % 2


def shares_right(fitted: Sequence[tuple[Sentence, Case, Calibration]]) -> NDArray[np.float64]:
    """Return the calibrated share of right sentences like each."""
    shares = []
    for sentence, case, calibration in fitted:
        own = calibration.of(*sentence.group)
        assert own is not None
        shares.append(own.share_right(case.score.of_said))
    return np.array(shares)


def figures(scores: NDArray[np.float64], known: Sequence[Sentence]) -> dict[str, Any]:
    """Return what a signal tells of right and wrong."""
    right = np.array([one.case.right for one in known])
    studies = np.array([one.case.study for one in known])
    said = np.array([one.group[1] for one in known])
    return {
        "AUROC": interval(auroc, scores, right, studies),
        "AUROC of denials": interval(auroc, scores[~said], right[~said], studies[~said]),
        "AUROC of affirmations": interval(auroc, scores[said], right[said], studies[said]),
        "wrong after withholding 20 %": interval(wrong_after, scores, right, studies),
    }


def calibrated(
    fitted: Sequence[tuple[Sentence, Case, Calibration]], known: Sequence[Sentence]
) -> dict[str, Any]:
    """Return the figures of a calibrated signal."""
    shares = shares_right(fitted)
    right = np.array([case.right for _, case, _ in fitted])
    studies = np.array([case.study for _, case, _ in fitted])
    return {
        **figures(shares, known),
        "calibration error": interval(calibration_error, shares, right, studies),
    }


def coverage(known: Sequence[Sentence]) -> dict[str, Any]:
    """Return how often the truth was not ruled out, and how often the opposite was.

    Of one split the coverage is a matter of luck: means of `SPLITS` random halves, and the range
    of 95 of 100 of them.
    """
    rng = np.random.default_rng(0)
    studies = sorted({one.case.study for one in known})
    splits: list[dict[str, tuple[float, float]]] = []
    for _ in range(SPLITS):
        fitting = set(rng.permutation(studies)[: len(studies) // 2])
        own = [one.case for one in known if one.case.study in fitting]
        calibration = fit(own, PHRASINGS, name="half", model="")
        others = [one.case for one in known if one.case.study not in fitting]
        splits.append(dict(_covered(others, calibration)))
    told = {}
    for key in splits[0]:
        kept, decided = (np.array([split[key][i] for split in splits]) for i in (0, 1))
        told[key] = {
            "coverage": round(float(kept.mean()), 3),
            "range": [round(float(end), 3) for end in np.percentile(kept, [2.5, 97.5])],
            "decided": round(float(decided.mean()), 3),
        }
    return told


def _covered(
    cases: Sequence[Case], calibration: Calibration
) -> Iterator[tuple[str, tuple[float, float]]]:
    for present in (True, False):
        true = [one for one in cases if (one.truth != ABSENT) == present]
        for finding in ("all", *(one.finding for one in PHRASINGS)):
            own = [one.score for one in true if finding in ("all", one.score.finding)]
            kept = float(np.mean([calibration.may_be(one, present) for one in own]))
            alone = float(np.mean([not calibration.may_be(one, not present) for one in own]))
            yield f"{finding}, {'present' if present else 'absent'}", (kept, alone)


def levels(fitted: Sequence[tuple[Sentence, Case, Calibration]]) -> dict[str, Any]:
    """Return how many sentences got each word, and how many of these were wrong."""
    told = {}
    words = [(k.level(case.score), case.right) for _, case, k in fitted]
    for word in ("high", "medium", "low", None):
        right = [hit for level, hit in words if level == word]
        if right:
            wrong = len(right) - sum(right)
            told[word or "none"] = {
                "n": len(right),
                "share": round(len(right) / len(words), 3),
                "wrong": round(wrong / len(right), 4),
                "interval": wilson(wrong, len(right)),
            }
    return told


def shipped(model: Path, known: Sequence[Sentence]) -> dict[str, Any] | None:
    """Return the figures of the calibration beside a model's weights; None where it has none."""
    calibration = own_calibration(describe(model))
    if calibration is None:
        return None
    fitted = [(one, one.case, calibration) for one in known]
    return {
        "calibrated on": calibration.calibrated_on,
        **calibrated(fitted, known),
        "levels": levels(fitted),
        "conformal": {
            key: round(kept, 3)
            for key, (kept, _) in _covered([c for _, c, _ in fitted], calibration)
        },
    }


def drifts(known: Sequence[Sentence]) -> dict[str, Any]:
    """Return the mean drift of each grade against a calibration on standard phantoms alone."""
    standard = [one for one in known if one.grade == GRADES[0]]
    calibration = fit(
        [one.case for one in standard if _half(one) == 0], PHRASINGS, name="standard", model=""
    )
    told = {}
    for grade in GRADES:
        by_study: dict[str, list[Score]] = {}
        for one in known:
            if one.grade == grade and _half(one) == 1:
                by_study.setdefault(one.case.study, []).append(one.case.score)
        each = [calibration.drift(scores) or 0.0 for scores in by_study.values()]
        half = 1.96 * float(np.std(each)) / len(each) ** 0.5
        mean = float(np.mean(each))
        told[grade] = {
            "studies": len(each),
            "mean": round(mean, 3),
            "interval": [round(mean - half, 3), round(mean + half, 3)],
        }
    return told


def report(studies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Measure; see the module."""
    known = [one for one in sentences(studies) if one.case.score.said is not None]
    by_facts = list(cross_fitted(known, lambda one: one.case))
    by_questions = list(cross_fitted(known, lambda one: one.asked))
    ordered = [one for one, _, _ in by_facts]
    wrong = {g: [not one.case.right for one in known if one.grade == g] for g in GRADES}
    return {
        "phantoms": len(studies),
        "abstained": sum(study["abstained"] for study in studies),
        "sentences": len(known),
        "wrong": sum(not one.case.right for one in known),
        "wrong denials": sum(not one.case.right for one in known if not one.group[1]),
        "share wrong": {grade: round(float(np.mean(some)), 4) for grade, some in wrong.items()},
        "median processor seconds": round(float(np.median([s["seconds"] for s in studies])), 2),
        "mean token probability": figures(np.array([one.tokens for one in known]), known),
        "facts, as they are": figures(np.array([o.case.score.of_said for o in known]), known),
        "facts, calibrated": calibrated(by_facts, ordered),
        "question, calibrated": calibrated(by_questions, ordered),
        "levels": levels(by_facts),
        "conformal": coverage(known),
        "drift from standard": drifts(known),
    }


def main() -> None:
    """Weigh phantoms that were not weighed yet, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=600)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scores", type=Path, help="Kept here, so that a killed run goes on.")
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.phantoms)
    done = {study["seed"]: study for study in _kept(options.scores)}
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        left = [seed for seed in seeds if seed not in done]
        runs = [pool.submit(partial(weighed, options.model), seed) for seed in left]
        for run in as_completed(runs):
            done[run.result()["seed"]] = run.result()
            _keep(options.scores, run.result())
    studies = [done[seed] for seed in seeds]
    said = [one for one in sentences(studies) if one.case.score.said is not None]
    told = {
        "model": trained_digest(describe(options.model)),
        **report(studies),
        "as it ships": shipped(options.model, said),
    }
    print(json.dumps(told, indent=2))


def _kept(path: Path | None) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path and path.is_file() else []
    return [json.loads(line) for line in lines]


def _keep(path: Path | None, study: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(study) + "\n")


if __name__ == "__main__":
    main()
