"""When a text repeats itself."""

import pytest

from engine.inference.loops import end_before_loop


@pytest.mark.parametrize(
    ("ids", "end"),
    [
        ([9, 8] + [7] * 32, 3),
        ([9, 8] + [7] * 31, None),
        ([9] + [1, 2] * 16, 3),
        ([9, 2] + [1, 2] * 16, 3),
        ([1, 2] * 16 + [3], None),
        (list(range(20)) * 3, 20),
        (list(range(20)) * 2, None),
        ([99, *list(range(20)) * 3], 21),
        (list(range(60)), None),
        ([], None),
    ],
)
def test_a_loop_is_a_passage_again_and_again(ids: list[int], end: int | None) -> None:
    assert end_before_loop(ids) == end


def test_words_loop_as_numbers_do():
    assert end_before_loop(["no ", *["ascites, ", "and "] * 16]) == 3
