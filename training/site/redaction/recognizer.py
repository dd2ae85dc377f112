"""A model of the site's choice that recognises persons, places and dates: a spaCy pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_io.errors import UnusableData
from training.site.redaction.gazetteer import is_medical
from training.site.redaction.spans import Change, Kind

if TYPE_CHECKING:
    from spacy.language import Language

KINDS: Mapping[str, Kind] = {
    "PERSON": "NAME",
    "PER": "NAME",
    "GPE": "PLACE",
    "LOC": "PLACE",
    "ORG": "PLACE",
    "FAC": "PLACE",
    "DATE": "DATE",
}
"""Placeholders of the labels of OntoNotes and of WikiNER, which spaCy's pipelines have."""


@dataclass(frozen=True)
class SpacyRecognizer:
    """A `text.Recognizer` of a spaCy pipeline.

    Parameters
    ----------
    pipeline : spacy.language.Language
        Sets entities with labels of `KINDS`; other labels are passed over.
    """

    pipeline: Language

    @property
    def name(self) -> str:
        """Name and version of the pipeline, as it states them."""
        meta = self.pipeline.meta
        return f"{meta['lang']}_{meta['name']} {meta['version']}"

    def __call__(self, text: str) -> Iterator[Change]:
        for entity in self.pipeline(text).ents:
            kind = KINDS.get(entity.label_)
            start, end = entity.start_char, entity.end_char
            if kind is None or is_medical(text, start, end):
                continue
            # "the previous day" tells no date
            if kind != "DATE" or any(character.isdigit() for character in entity.text):
                yield Change(start, end, kind, "recognizer")


def load_recognizer(model: str) -> SpacyRecognizer:
    """Load a pipeline from this machine; nothing is downloaded.

    Parameters
    ----------
    model : str
        Name of an installed package, or path of a folder that `Language.to_disk` wrote.

    Raises
    ------
    UnusableData
        The pipeline is not installed, or it recognises nothing that identifies.
    """
    pipeline = _loaded(model)
    labels = {label for of_pipe in pipeline.pipe_labels.values() for label in of_pipe}
    if not labels & KINDS.keys():
        raise UnusableData(f"--recognizer {model}: it sets none of the labels {', '.join(KINDS)}")
    return SpacyRecognizer(pipeline)


def _loaded(model: str) -> Language:
    import spacy

    try:
        return spacy.load(model)
    except OSError as error:
        raise UnusableData(
            f"--recognizer {model}: no spaCy pipeline is installed under this name or lies in this "
            "folder; install its package with pip (nothing is downloaded here)"
        ) from error
    # what a pipeline needs, or a package that is none, fails in any of these
    except (ImportError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise UnusableData(
            f"--recognizer {model}: spaCy cannot load it ({type(error).__name__}); install what "
            "the pipeline requires, in versions that fit this spaCy"
        ) from error
