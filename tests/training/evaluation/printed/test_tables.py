import csv
import io
import json

import pytest

from training.evaluation.metrics.bootstrap import Interval
from training.evaluation.printed import published
from training.evaluation.printed.published import System, retrieval_table
from training.evaluation.printed.tables import Table, write_tables

TABLE = Table(
    "table2",
    "Reports",
    ("source", "BLEU", "METEOR"),
    (("paper", 36.88, None), ("here", Interval(12.5, 10.0, 15.0), "not computed")),
    ("A note.",),
)


def test_markdown_shows_the_interval_after_the_figure():
    assert TABLE.to_markdown() == (
        "### Reports\n\n"
        "| source | BLEU | METEOR |\n| --- | --- | --- |\n"
        "| paper | 36.88 |  |\n| here | 12.50 (10.00 to 15.00) | not computed |\n\n- A note.\n"
    )


def test_csv_has_the_ends_of_intervals_in_columns_of_their_own():
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert list(rows[0]) == ["source", "BLEU", "BLEU low", "BLEU high", "METEOR"]
    assert [row["BLEU high"] for row in rows] == ["", "15.0000"]
    assert rows[1]["METEOR"] == "not computed"


def test_a_bar_in_a_text_does_not_break_the_markdown():
    assert "| a\\|b |" in Table("t", "T", ("x",), (("a|b",),)).to_markdown()


def test_all_three_forms_lie_in_the_folder(tmp_path):
    results = write_tables(tmp_path, [TABLE], {"split": "paper"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "results.json",
        "table2.csv",
        "table2.md",
    ]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["split"] == "paper"
    assert results["tables"][0]["rows"][1]["BLEU"] == {"value": 12.5, "low": 10.0, "high": 15.0}


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6, 7, 9, 10, 11])
def test_rows_of_ours_follow_those_of_the_paper(number):
    row = ["ours"] * len(published.columns(number))
    table = published.table(number, [row])
    assert {row[0] for row in table.rows[:-1]} == {"paper"}
    assert table.rows[-1] == ("here", *row)
    assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize("number", [3, 4, 6, 7, 10, 11])
def test_the_paper_s_means_are_means_of_the_five_types(number):
    """Where a figure of the transcription were wrong, its mean would not be the printed one."""
    for row in published.table(number, []).rows:
        *types, mean = (cell for cell in row if isinstance(cell, float))
        assert sum(types) / 5 == pytest.approx(mean, abs=0.0101)


def test_the_paper_s_rows_can_be_left_out():
    assert published.table(2, [], reference=False).rows == ()


@pytest.mark.parametrize("number", [1, 8])
def test_retrieval_puts_systems_side_by_side(number):
    recalls = {label: [[1.0], [2.0], [3.0]] for label in ("IR", "TR")}
    table = retrieval_table(number, [System("tiny", ["all"], recalls)])
    assert table.columns[:2] == ("direction", "R@K")
    assert "DCFormer-S SigLIP (paper) 2000" in table.columns
    assert table.columns[-1] == "tiny all"
    assert [row[:2] for row in table.rows] == [
        (direction, rank)
        for direction in ("image → text (IR)", "text → image (TR)")
        for rank in ("R@1", "R@5", "R@10")
    ]
    assert [row[-1] for row in table.rows] == [1.0, 2.0, 3.0] * 2


def test_table_8_ends_in_the_system_of_table_1():
    name = "DCFormer-S SigLIP (paper)"
    first, eighth = (
        [
            [cell for column, cell in zip(table.columns, row, strict=True) if name in column]
            for row in table.rows
        ]
        for table in (retrieval_table(1, []), retrieval_table(8, []))
    )
    assert first == eighth
