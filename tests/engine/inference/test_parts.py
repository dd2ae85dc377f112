"""A report in parts: each is cut where it ends, and the whole is one text."""

import numpy as np
import pytest

from engine.fake import FakeEngine
from engine.inference.parts import cut_off, joined
from engine.protocol import FinishReason, Generation


def generation(*tokens: str, finish: FinishReason = "eos") -> Generation:
    return Generation(
        text="".join(tokens),
        tokens=tokens,
        token_ids=tuple(range(len(tokens))),
        token_logprobs=(-0.5,) * len(tokens),
        image_embedding=np.zeros(1, np.float32),
        identity=FakeEngine().identity,
        finish_reason=finish,
    )


def test_a_text_ends_before_the_mark_and_is_complete():
    cut = cut_off(generation("no", " cyst", ".#", "##", " liver", finish="length"), "###")
    assert (cut.text, cut.tokens, cut.finish_reason) == ("no cyst.", ("no", " cyst", "."), "eos")
    assert len(cut.token_ids) == len(cut.token_logprobs) == 3


@pytest.mark.parametrize("mark", ["###", ""])
def test_a_text_without_the_mark_stays(mark):
    whole = generation("no", " cyst")
    assert cut_off(whole, mark) is whole


def test_parts_are_joined_by_a_space_and_empty_ones_left_out():
    whole = joined([generation("no", " cyst."), generation(), generation("normal.")])
    assert whole.text == "".join(whole.tokens) == "no cyst. normal."
    assert len(whole.token_ids) == len(whole.token_logprobs) == 3


def test_a_part_that_was_cut_off_makes_the_whole_incomplete():
    assert joined([generation("a"), generation("b", finish="length")]).finish_reason == "length"
