from hypothesis import given
from hypothesis import strategies as st

from training.data.shards import Planned
from training.data.splits import PARTS, grouped_split, normalised

TEXTS = {f"t{i}": f"Text {i}." for i in range(8)} | {
    "same as t0": "TEXT  0",
    "same as t1": "text 1",
}

data_sets = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(sorted(TEXTS))), max_size=40
).map(lambda rows: [Planned(f"i{n}", f"c{c}", text, "") for n, (c, text) in enumerate(rows)])


@given(images=data_sets, seed=st.integers(0, 5), held_out=st.floats(0.01, 0.3))
def test_no_case_and_no_text_is_in_two_parts(images, seed, held_out):
    split = grouped_split(images, TEXTS, held_out, seed)
    by_key = {image.key: image for image in images}
    for what in (lambda i: i.case, lambda i: normalised(TEXTS[i.text])):
        parts = [{what(by_key[key]) for key in split[part]} for part in PARTS]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]


@given(images=data_sets, seed=st.integers(0, 5))
def test_each_text_is_held_out_once(images, seed):
    split = grouped_split(images, TEXTS, 0.2, seed)
    by_key = {image.key: image for image in images}
    for part in ("validation", "test"):
        texts = [normalised(TEXTS[by_key[key].text]) for key in split[part]]
        assert len(texts) == len(set(texts))


@given(images=data_sets, seed=st.integers(0, 5))
def test_every_image_is_used_or_has_a_held_out_twin(images, seed):
    split = grouped_split(images, TEXTS, 0.2, seed)
    by_key = {image.key: image for image in images}
    used = [key for part in PARTS for key in split[part]]
    assert len(used) == len(set(used))
    twins = {normalised(TEXTS[by_key[k].text]) for p in PARTS[1:] for k in split[p]}
    for image in images:
        assert image.key in used or normalised(TEXTS[image.text]) in twins


@given(images=data_sets.flatmap(st.permutations), seed=st.integers(0, 5))
def test_the_order_of_the_images_does_not_matter(images, seed):
    ordered = sorted(images, key=lambda image: image.key)
    assert grouped_split(images, TEXTS, 0.2, seed) == grouped_split(ordered, TEXTS, 0.2, seed)


def test_three_groups_are_enough_for_three_parts():
    images = [Planned(f"i{i}", f"c{i}", f"t{i}", "") for i in range(3)]
    assert [len(grouped_split(images, TEXTS, 0.05, 0)[part]) for part in PARTS] == [1, 1, 1]


def test_another_seed_holds_out_others():
    images = [Planned(f"i{i}", f"c{i}", f"t{i % 8}", "") for i in range(8)]
    tests = {tuple(grouped_split(images, TEXTS, 0.2, seed)["test"]) for seed in range(20)}
    assert len(tests) > 3


def test_texts_that_differ_in_form_only_are_the_same():
    assert normalised("A  Cyst,\nof 5 mm.") == normalised("a cyst of 5 mm")
    assert normalised("left") != normalised("right")
