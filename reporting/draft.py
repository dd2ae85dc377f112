"""A generation becomes a draft: sections of sentences, with what the reader must know first."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from dicom_io.errors import EmptyDraft
from reporting.edition import Edition
from reporting.text.confidence import WITHHELD, Assessed, Confidence, marked, notices_about
from reporting.text.denials import denies
from reporting.text.headings import Heading, heading_spans
from reporting.text.sentences import Span, before_the_stop, is_finished, sentence_spans

DRAFT_NOTICE = "AI DRAFT - NOT VERIFIED"
# Lists of series cut a description, some at 20 characters: these 19 say it all
SERIES_NOTICE = "AI DRAFT UNVERIFIED"
ABSTENTION = "The model has not seen images like these; no findings were drafted."

# OHIF does not wrap a finding: beside the images, on 1440 pixels, it shows 52 characters of a line
LINE = 52

_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_NO_CHARACTER = re.compile(r"[\ud800-\udfff\ufffe\uffff]")

_DOUBTS: tuple[Confidence | None, ...] = ("low", "medium", "not assessed", "high", None)

State = Literal["complete", "partial", "abstained"]


@dataclass(frozen=True)
class ImageReference:
    """The slice that a sentence was inferred from."""

    sop_class_uid: str
    sop_instance_uid: str
    series_number: int | None = None
    instance_number: int | None = None


Evidence = Mapping[Span, Sequence[ImageReference]]
"""The slices that the sentences of a text were inferred from."""


@dataclass(frozen=True)
class Sentence:
    """One statement of a draft.

    Parameters
    ----------
    text : str
        The sentence, on one line.
    token_probability : float or None
        Mean probability of its tokens, 0 to 1; None where the tokens could not be laid over it. It
        is no confidence: it tells how usual the wording is, not whether the finding is there.
    evidence : tuple of ImageReference
        The slices it was inferred from.
    confidence : str or None
        How sure the model is that it is true: "high", "medium", "low", or "not assessed". None
        where the draft shows no confidence, and in sentences that the model did not write.
    """

    text: str
    token_probability: float | None = None
    evidence: tuple[ImageReference, ...] = ()
    confidence: Confidence | None = None

    @property
    def shown(self) -> str:
        """The text with its slices and its doubts, because viewers do not show what is coded."""
        text = self.text
        if places := _places(self.evidence):
            text = before_the_stop(text, f"({'; '.join(places)})")
        return marked(text, self.confidence)


def lines_of(paragraph: Iterable[Sentence]) -> list[str]:
    """Fill lines with whole sentences; only a sentence that is longer than a line exceeds it."""
    lines: list[str] = []
    for sentence in paragraph:
        if lines and len(lines[-1]) + 1 + len(sentence.shown) <= LINE:
            lines[-1] += f" {sentence.shown}"
        else:
            lines.append(sentence.shown)
    return lines


@dataclass(frozen=True)
class Section:
    """The sentences under one heading; never empty."""

    heading: Heading
    sentences: tuple[Sentence, ...]

    @property
    def paragraphs(self) -> tuple[tuple[Sentence, ...], ...]:
        """What is shown together: each sentence by itself, but denials of one confidence as one.

        They come at the end, and the doubtful ones first.
        """
        if self.heading is not Heading.FINDINGS:
            return tuple((one,) for one in self.sentences)
        alone = tuple((one,) for one in self.sentences if not denies(one.text))
        denials = [one for one in self.sentences if denies(one.text)]
        levels = [tuple(one for one in denials if one.confidence == level) for level in _DOUBTS]
        return (*alone, *filter(None, levels))


@dataclass(frozen=True)
class DraftModel:
    """The model that wrote a draft."""

    name: str
    version: str
    digest: str = ""
    demonstration: bool = False


@dataclass(frozen=True)
class Draft:
    """What a report object is built from.

    Parameters
    ----------
    notices : tuple of str
        What stands before everything else; the first begins with `DRAFT_NOTICE`.
    sections : tuple of Section
        In reading order, each with at least one sentence.
    state : str
        "complete"; "partial" (cut text or incomplete input); "abstained" (no findings drafted).
    model : DraftModel
        Who wrote it.
    edition : Edition
        Which draft of its study it is.
    abstained : str, optional
        Why the model wrote no findings, with its figures: for the timeline, not for the reader.
    faults : tuple of str
        What the draft or its input lacks, a sentence each; they stand among the notices as well.
    assessed : Assessed, optional
        How sure the model is of the text; None where nobody asked.
    withheld : tuple of Section
        Sentences that were left out of `sections`, because the confidence in them is low.
    """

    notices: tuple[str, ...]
    sections: tuple[Section, ...]
    state: State
    model: DraftModel
    edition: Edition = field(default_factory=Edition)
    abstained: str | None = None
    faults: tuple[str, ...] = ()
    assessed: Assessed | None = None
    withheld: tuple[Section, ...] = ()


def make_draft(
    text: str,
    *,
    technique: Sequence[str],
    model: DraftModel,
    edition: Edition | None = None,
    finish_reason: str = "eos",
    abstained: str | None = None,
    incomplete: str | None = None,
    tokens: Sequence[str] | None = None,
    token_logprobs: Sequence[float] | None = None,
    evidence: Evidence | None = None,
    assessed: Assessed | None = None,
) -> Draft:
    """Turn a generated text into a draft.

    Parameters
    ----------
    text : str
        "Technique: … Findings: … Impression: …"; without headings all of it is Findings. The
        model's own technique is dropped: `technique` tells what the headers say.
    technique : sequence of str
        Sentences of the Technique section (`reporting.technique`).
    model : DraftModel
        The model that wrote the text.
    edition : Edition, optional
        Which draft of its study this is; by default the first, written now.
    finish_reason : str
        "eos" where the model ended by itself; anything else counts as cut off.
    abstained : str, optional
        Why the model wrote no findings; `text` is then ignored. The draft says in plain words
        that there are none, and keeps the reason.
    incomplete : str, optional
        What is missing of the input, if anything.
    tokens, token_logprobs : sequences of equal length, optional
        The pieces that make up `text` and their natural log-probabilities.
    evidence : mapping of spans to slices, optional
        What each of `statements_in(text)` was inferred from, as far as that is known.
    assessed : Assessed, optional
        How sure the model is of each of `assertions_in(text)`, and whether doubtful ones are
        left out.

    Raises
    ------
    EmptyDraft
        The text holds no finished sentence of findings or impression.
    """
    edition = edition or Edition()
    last = [Section(Heading.TECHNIQUE, _sentences(technique))] if technique else []
    lacking = _incomplete_input(incomplete)
    if abstained is not None:
        refusal = Section(Heading.FINDINGS, (Sentence(ABSTENTION),))
        notices, why = _notices(model, edition, lacking), one_line(abstained)
        return Draft(notices, (refusal, *last), "abstained", model, edition, why, lacking)
    scores = _scores(text, tokens, token_logprobs)
    sentence = partial(_sentence, text, scores, evidence or {}, assessed or Assessed())
    generated, faults = _generated(text, finish_reason, sentence)
    withhold = assessed is not None and assessed.withhold
    kept, withheld = _sifted(generated) if withhold else (generated, [])
    faults = (*lacking, *faults)
    state: State = "partial" if faults else "complete"
    count = sum(len(section.sentences) for section in withheld)
    about = notices_about(assessed, count) if assessed else ()
    notices = _notices(model, edition, (*faults, *about))
    sections = (*kept, *last)
    return Draft(
        notices,
        sections,
        state,
        model,
        edition,
        faults=faults,
        assessed=assessed,
        withheld=tuple(withheld),
    )


def assertions_in(text: str) -> list[Span]:
    """Find the sentences of a generated text that say something of the patient."""
    return [span for heading, span in _placed(text) if heading is not Heading.TECHNIQUE]


def statements_in(text: str) -> list[Span]:
    """Find the sentences of a generated text that say that something is there."""
    return [span for span in assertions_in(text) if not denies(text[slice(*span)])]


def _placed(text: str) -> list[tuple[Heading, Span]]:
    return [
        (heading, (start + s, start + e))
        for heading, (start, end) in heading_spans(text)
        for s, e in sentence_spans(text[start:end])
    ]


def _incomplete_input(incomplete: str | None) -> tuple[str, ...]:
    if incomplete is None:
        return ()
    what = one_line(incomplete).rstrip(".") or "images of the study may be missing"
    return (f"Incomplete input: {what}.",)


def _notices(model: DraftModel, edition: Edition, faults: Sequence[str]) -> tuple[str, ...]:
    version = f" {model.version}" if model.version else ""
    notices = [
        f"{DRAFT_NOTICE}. Written by the model {model.name}{version} without review by a "
        "physician.",
        edition.sentence,
    ]
    if model.demonstration:
        notices.append(
            "Demonstration model, trained on synthetic phantoms only: not for clinical use."
        )
    return tuple(one_line(notice) for notice in [*notices, *faults])


def _generated(
    text: str, finish_reason: str, sentence: Callable[[Span], Sentence]
) -> tuple[list[Section], tuple[str, ...]]:
    placed, faults = _placed(text), []
    if finish_reason != "eos":
        faults.append("The generated text was cut off: the end of this draft is missing.")
        # The cut lies in the last sentence, which may belong to the technique that is dropped
        if placed and not is_finished(text[slice(*placed[-1][1])]):
            placed.pop()
    sections = [
        Section(heading, tuple(sentence(span) for found, span in placed if found is heading))
        for heading in (Heading.IMPRESSION, Heading.FINDINGS)
    ]
    written = [section for section in sections if section.sentences]
    if not written:
        raise EmptyDraft("the generated text holds no finished sentence of findings or impression")
    if written[-1].heading is not Heading.FINDINGS:
        faults.append("The model wrote an impression without findings.")
    return written, tuple(faults)


def _sifted(written: Sequence[Section]) -> tuple[list[Section], list[Section]]:
    """Part what is shown from what is withheld; no section is silently empty."""
    kept, withheld = [], []
    for section in written:
        doubtful = tuple(one for one in section.sentences if one.confidence == "low")
        rest = tuple(one for one in section.sentences if one.confidence != "low")
        if doubtful:
            withheld.append(Section(section.heading, doubtful))
        kept.append(Section(section.heading, rest or (Sentence(WITHHELD),)))
    return kept, withheld


def _sentence(
    text: str,
    scores: Sequence[tuple[Span, float]],
    evidence: Evidence,
    assessed: Assessed,
    span: Span,
) -> Sentence:
    start, end = span
    inside = [math.exp(lp) for (s, e), lp in scores if s < end and e > start and s < e]
    mean = sum(inside) / len(inside) if inside else None
    images = tuple(evidence.get(span, ()))
    return Sentence(one_line(text[start:end]), mean, images, assessed.of(span))


def _scores(
    text: str, tokens: Sequence[str] | None, logprobs: Sequence[float] | None
) -> list[tuple[Span, float]]:
    """Lay the tokens over the text; none where their pieces do not spell it."""
    if tokens is None or logprobs is None or len(tokens) != len(logprobs):
        return []
    if "".join(tokens) != text:
        return []
    scores, position = [], 0
    for token, logprob in zip(tokens, logprobs, strict=True):
        scores.append(((position, position + len(token)), logprob))
        position += len(token)
    return scores


def _sentences(texts: Iterable[str]) -> tuple[Sentence, ...]:
    return tuple(Sentence(line) for line in map(one_line, texts) if line)


def one_line(text: str) -> str:
    """Fold line breaks and controls to a space and drop what UTF-8 cannot hold (PS3.5 6.1.3)."""
    return _NO_CHARACTER.sub("", _BLANKS.sub(" ", text)).strip()


def _places(images: Iterable[ImageReference]) -> list[str]:
    """Name slices by series and number, what follows one another as a range."""
    numbered = {
        (image.series_number, image.instance_number)
        for image in images
        if image.instance_number is not None
    }
    runs: list[tuple[int | None, int, int]] = []
    for series, number in sorted(numbered, key=lambda one: (one[0] or 0, one[1])):
        if runs and runs[-1][0] == series and runs[-1][2] == number - 1:
            runs[-1] = (series, runs[-1][1], number)
        else:
            runs.append((series, number, number))
    return [_place(*run) for run in runs]


def _place(series_number: int | None, first: int, last: int) -> str:
    series = f"series {series_number}, " if series_number is not None else ""
    return f"{series}image {first}" if first == last else f"{series}images {first}–{last}"
