import csv

import pytest

from dicom_io.errors import UnusableData
from training.evaluation.compare import compare


def write(folder, scores, metric="METEOR"):
    folder.mkdir()
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "case", "task", "type", "decoding", "metric", "score"])
        for key, score in scores.items():
            writer.writerow([key, f"case {key}", "report", "", "greedy", metric, score])
    return folder


def test_the_difference_is_second_minus_first_in_percent(tmp_path):
    first = write(tmp_path / "first", {"a": 0.2, "b": 0.4, "c": 0.6})
    second = write(tmp_path / "second", {"c": 0.7, "b": 0.5, "a": 0.3})  # in another order
    table = compare(first, second, resamples=50)
    assert table.title == "second minus first, in pairs, 3 items"
    ((label, difference),) = table.rows
    assert label == "METEOR (greedy)"
    assert difference.value == pytest.approx(10)
    assert (difference.low, difference.high) == pytest.approx((10, 10))


def test_different_items_do_not_compare(tmp_path):
    first, second = write(tmp_path / "first", {"a": 0.2}), write(tmp_path / "second", {"b": 0.2})
    with pytest.raises(UnusableData, match=r"have METEOR \(greedy\) of different items"):
        compare(first, second)


def test_folders_without_a_common_figure_do_not_compare(tmp_path):
    first = write(tmp_path / "first", {"a": 0.2})
    second = write(tmp_path / "second", {"a": 0.2}, metric="BLEU-1")
    with pytest.raises(UnusableData, match="have no figure in common"):
        compare(first, second)


def test_a_folder_without_scores_is_named(tmp_path):
    with pytest.raises(UnusableData, match=r"holds no scores of an evaluation"):
        compare(tmp_path, tmp_path)
