"""What a model is asked in an evaluation, and what the right answer is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dicom_io.errors import UnusableData
from training.data.questions import TYPES, Question
from training.data.store import SplitName, Store

Task = Literal["report", "open", "closed", "yes/no"]

PAPER_REPORTS = 1000
"""How many reports the paper scores: the first ones of the test part."""


@dataclass(frozen=True)
class Item:
    """One thing that is asked.

    Parameters
    ----------
    key : str
        Names it in files of predictions.
    image : str
        Key of the image in the store.
    case : str
        Whose image it is.
    task : str
        "report", or how a question is put.
    reference : str
        The report, or the answer in words.
    question : str
        Nothing for a report: the checkpoint knows how it is asked for one.
    choices : tuple of str
        Of a closed question.
    letter : str
        Of the right choice.
    type : str
        M3D-VQA's type of a question, e.g. "location".
    """

    key: str
    image: str
    case: str
    task: Task
    reference: str
    question: str = ""
    choices: tuple[str, ...] = ()
    letter: str = ""
    type: str = ""


def report_items(store: Store, split: SplitName, limit: int | None = PAPER_REPORTS) -> list[Item]:
    """Return the first test reports, in the order of the split.

    Parameters
    ----------
    store : Store
        Whose reports they are.
    split : SplitName
        Name of the split.
    limit : int, optional
        How many; None for all.

    Raises
    ------
    UnusableData
        There are none.
    """
    keys = store.split(split)["test"][:limit]
    return _some(
        [Item(k, k, store.images[k].case, "report", store.report(k)) for k in keys],
        f"{store.folder} has no test image in split {split!r}",
    )


def question_items(store: Store, split: SplitName, limit: int | None = None) -> list[Item]:
    """Return the test questions; one with choices is asked openly and with its choices.

    Parameters
    ----------
    store : Store
        Whose questions they are.
    split : SplitName
        Name of the split.
    limit : int, optional
        How many of each task and type, the first ones.

    Raises
    ------
    UnusableData
        There are none.
    """
    items = [item for q in _numbered(store, split) for item in _asked(store, *q)]
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for item in items:
        seen[item.task, item.type] += 1
        if limit is None or seen[item.task, item.type] <= limit:
            chosen.append(item)
    order = {image: n for n, image in enumerate(dict.fromkeys(item.image for item in chosen))}
    return _some(
        sorted(chosen, key=lambda item: order[item.image]),  # an image is encoded once in a batch
        f"{store.folder} has no test question in split {split!r}",
    )


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write what is asked, one JSON object a line, for systems that are run elsewhere."""
    lines = (json.dumps(asdict(item), ensure_ascii=False) for item in items)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _numbered(store: Store, split: SplitName) -> Iterator[tuple[str, Question]]:
    """Name each question by its file and its place among the file's questions that are asked."""
    count: Counter[str] = Counter()
    for question in store.questions(split, "test"):
        yield f"{question.source}/{count[question.source]}", question
        count[question.source] += 1


def _asked(store: Store, name: str, q: Question) -> Iterator[Item]:
    if q.image not in store.images:
        raise UnusableData(f"{name} asks about {q.image}, which is not in {store.folder}")

    def item(task: Task, choices: Sequence[str] = (), letter: str = "") -> Item:
        return Item(
            key=f"{name}/{task}",
            image=q.image,
            case=store.images[q.image].case,
            task=task,
            reference=q.answer,
            question=q.question,
            choices=tuple(choices),
            letter=letter,
            type=TYPES[q.type],
        )

    if q.yes_no:
        yield item("yes/no")
        return
    yield item("open")
    if q.choices and all(q.choices) and q.answer_choice:
        yield item("closed", q.choices, q.answer_choice)


def _some(items: list[Item], otherwise: str) -> list[Item]:
    if not items:
        raise UnusableData(otherwise)
    return items
