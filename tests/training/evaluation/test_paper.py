"""Tables 1 to 4 of several systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from dicom_io.errors import UnusableData
from plugin.cli import main
from training.evaluation.embeddings import Embeddings
from training.evaluation.items import report_items
from training.evaluation.paper import paper_tables
from training.evaluation.printed.published import printed
from training.evaluation.setting import Setting
from training.evaluation.tasks.retrieval import evaluate_retrieval

FIGURE = {"value": 40.0, "low": 38.0, "high": 42.0}


def put(folder: Path, split: str, *tables: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"split": split, "tables": list(tables)}))


def table2(method: str, split: str = "paper", bert: Any = "not computed") -> dict[str, Any]:
    figures = {"BLEU": FIGURE, "ROUGE": 41.0, "METEOR": FIGURE, "BERTScore": bert}
    paper = [{"source": "paper", "method": "RadFM", **dict.fromkeys(figures, 1.0)}]
    return {
        "name": "table2",
        "title": f"Report generation, split {split}, 100 test reports of m3d",
        "rows": [*paper, {"source": "here", "method": method, **figures}],
        "notes": ["BERTScore: not computed; no folder of roberta-large was named."],
    }


def rows_of(folder: Path, name: str) -> list[tuple[Any, ...]]:
    return list(next(table for table in paper_tables(folder) if table.name == name).rows)


def test_systems_stand_in_the_papers_order_and_ours_behind_them(tmp_path: Path) -> None:
    put(tmp_path / "Ours" / "a", "paper", table2("tiny (greedy)"))
    put(tmp_path / "RadFM" / "r", "paper", table2("predictions (given)", bert=FIGURE))
    rows = [row for row in rows_of(tmp_path, "table2_paper") if row[0] == "here"]
    assert [row[1] for row in rows] == [
        "RadFM (given)",
        "M3D-LaMed (Linear)",
        "M3D-LaMed (MLP)",
        "Med3DVLM (Ours)",
        "Ours (greedy)",
    ]
    assert rows[0][2].value == 40.0


def test_the_papers_figures_stand_there_as_printed(tmp_path: Path) -> None:
    put(tmp_path / "Ours" / "a", "grouped", table2("tiny (greedy)", "grouped"))
    tables = {table.name: table for table in paper_tables(tmp_path)}
    assert sorted(tables) == [f"table{n}_grouped" for n in (1, 2, 3, 4)]
    for number in (2, 3, 4):
        rows = [list(row[1:]) for row in tables[f"table{number}_grouped"].rows if row[0] == "paper"]
        assert rows == printed(number)["rows"]


def test_every_empty_cell_has_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "Ours" / "a", "paper", table2("tiny (greedy)"))
    put(tmp_path / "Ours" / "b", "grouped", table2("tiny (greedy)", "grouped"))
    for table in paper_tables(tmp_path):
        marks = {
            str(cell)
            for row in table.rows
            for cell in row[1:]
            if isinstance(cell, str) and cell.startswith("[")
        }
        reasons = {note.partition(" ")[0] for note in table.notes if note.startswith("[")}
        assert marks == reasons != set()
        assert None not in [cell for row in table.rows for cell in row]
    notes = "\n".join(paper_tables(tmp_path)[1].notes)
    assert "BERTScore: not computed; no folder of roberta-large was named." in notes
    assert (
        'RadFM was not evaluated here: `ctscribe eval report --split paper … --out "DIR/Rad'
        in notes
    )


def test_the_same_system_is_evaluated_with_two_decodings(tmp_path: Path) -> None:
    put(tmp_path / "Ours" / "greedy", "paper", table2("tiny (greedy)"))
    put(tmp_path / "Ours" / "authors", "paper", table2("tiny (authors)"))
    methods = [row[1] for row in rows_of(tmp_path, "table2_paper")]
    assert methods[-2:] == ["Ours (authors)", "Ours (greedy)"]


def test_a_folder_without_evaluations_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="SYSTEM/NAME"):
        paper_tables(tmp_path)
    (tmp_path / "Ours").mkdir()
    (tmp_path / "Ours" / "results.json").write_text("[")
    with pytest.raises(UnusableData, match=r"results\.json is no result"):
        paper_tables(tmp_path)


@pytest.fixture
def vectors(store: Any, tmp_path: Path) -> Path:
    """A system that finds every pair but the first two, which it takes for one another."""
    n = len(report_items(store, "paper"))
    images = torch.eye(n) * 3
    texts = torch.eye(n)[[1, 0, *range(2, n)]]
    path = tmp_path / "PMC-CLIP.safetensors"
    save_file({"images": images, "texts": texts}, path)
    return path


def test_another_systems_vectors_make_table_1(vectors: Path, store: Any, tmp_path: Path) -> None:
    setting = Setting(store, "paper", tmp_path / "runs" / "PMC-CLIP" / "r", resamples=20)
    results = evaluate_retrieval(setting, Embeddings(vectors))
    row = results["tables"][0]["rows"][0]
    assert row["PMC-CLIP all 6"]["value"] == pytest.approx(400 / 6)
    shown = CliRunner().invoke(
        main, ["eval", "tables", "--paper", str(tmp_path / "runs"), "--out", str(tmp_path / "t")]
    )
    assert shown.exit_code == 0, shown.output
    assert "PMC-CLIP (paper) 100" in shown.stdout
    assert "PMC-CLIP all 6" in shown.stdout
    assert "| 66.67 (" in shown.stdout
    assert (tmp_path / "t" / "table1_paper.csv").is_file()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t | {"texts": t["texts"][:3]}, "a row for each line"),
        (lambda t: {"images": t["images"]}, "wanted are images and texts"),
        (lambda t: t | {"texts": t["texts"] / 0}, "no finite numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    vectors: Path, store: Any, tmp_path: Path, change: Any, why: str
) -> None:
    held = {"images": torch.eye(6), "texts": torch.eye(6)}
    save_file(change(held), vectors)
    with pytest.raises(UnusableData, match=why):
        evaluate_retrieval(Setting(store, "paper", tmp_path / "o"), Embeddings(vectors))
