"""The content tree of a draft report: TID 2000 "Basic Diagnostic Imaging Report" (PS3.16)."""

from collections.abc import Iterable

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.sr.coding import Code

from dicom_io.device import DEVICE_UID, MODEL_NAME
from reporting.draft import Draft, ImageReference, Sentence, lines_of
from reporting.objects import concepts

_CONTAINS = RelationshipTypeValues.CONTAINS


def content_tree(draft: Draft, procedure: Code = concepts.ANY_CT) -> ContainerContentItem:
    """Build the root container of a draft's report.

    Parameters
    ----------
    draft : Draft
        Notices become the Summary section, every other section one container of its own.
    procedure : Code
        The procedure reported (CID 100 or the CT's own code).
    """
    modifiers = [
        (concepts.PROCEDURE_REPORTED, procedure),
        (concepts.LANGUAGE, concepts.ENGLISH),
    ]
    items = ContentSequence([_modifier(name, value) for name, value in modifiers])
    items.extend(_observer(draft))
    items.append(_section(concepts.SUMMARY, [(Sentence(notice),) for notice in draft.notices]))
    items.extend(_section(concepts.SECTIONS[s.heading], s.paragraphs) for s in draft.sections)
    root = ContainerContentItem(
        name=_concept(concepts.TITLE), is_content_continuous=False, template_id=concepts.TEMPLATE
    )
    # pydicom copies a sequence on assignment: what is appended later never reaches the dataset
    root.ContentSequence = items
    return root


def _section(
    codes: tuple[Code, Code], paragraphs: Iterable[tuple[Sentence, ...]]
) -> ContainerContentItem:
    heading, element = codes
    container = ContainerContentItem(
        name=_concept(heading), is_content_continuous=False, relationship_type=_CONTAINS
    )
    container.ContentSequence = ContentSequence(
        [item for p in paragraphs for item in (_text(element, p), *_confidence(p))]
    )
    return container


def _confidence(paragraph: tuple[Sentence, ...]) -> list[CodeContentItem]:
    """Say behind a text how sure the model is of it; TID 2002 has no place for that below it."""
    code = concepts.LEVELS.get(paragraph[0].confidence or "")  # of each sentence in a paragraph
    if code is None:
        return []
    name, value = _concept(concepts.CONFIDENCE), _concept(code)
    return [CodeContentItem(name, value, relationship_type=_CONTAINS)]


def _text(name: Code, paragraph: tuple[Sentence, ...]) -> TextContentItem:
    shown = "\r\n".join(lines_of(paragraph))  # PS3.5 6.1.3
    item = TextContentItem(_concept(name), shown, relationship_type=_CONTAINS)
    evidence = dict.fromkeys(image for sentence in paragraph for image in sentence.evidence)
    if evidence:
        item.ContentSequence = ContentSequence([_image(image) for image in evidence])
    return item


def _image(image: ImageReference) -> ImageContentItem:
    return ImageContentItem(
        name=_concept(concepts.BEST_ILLUSTRATION),
        referenced_sop_class_uid=image.sop_class_uid,
        referenced_sop_instance_uid=image.sop_instance_uid,
        relationship_type=RelationshipTypeValues.INFERRED_FROM,
    )


def _observer(draft: Draft) -> ObserverContext:
    """Name the device in the two lines that the template asks for (TID 1004) and its name."""
    model = f"{draft.model.name} {draft.model.version}"
    return ObserverContext(
        observer_type=_concept(concepts.DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=DEVICE_UID,
            name=f"{MODEL_NAME}, software that drafts reports, model {model}".strip(),
        ),
    )


def _modifier(name: Code, value: Code) -> CodeContentItem:
    relation = RelationshipTypeValues.HAS_CONCEPT_MOD
    return CodeContentItem(_concept(name), _concept(value), relationship_type=relation)


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme_designator, code.meaning)
