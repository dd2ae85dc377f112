import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.bert import BertConfig

from dicom_io.errors import UnusableData
from engine.network.families.pmc_clip import PMCClip, PMCClipConfig, SliceEncoderConfig
from training.data.store import as_unit_interval
from training.evaluation.embeddings import embed_images, embed_texts
from training.evaluation.items import Item
from training.evaluation.metrics.bootstrap import Interval
from training.evaluation.setting import Setting
from training.evaluation.tasks.retrieval import (
    closest,
    evaluate_retrieval,
    pool_sizes,
    ranks,
    recalls,
)


def test_ranks_count_the_wrong_ones_before_the_right_one():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.6], [0.3, 0.2, 0.1]])
    assert ranks(similarity).tolist() == [0, 2, 2]


def test_ranks_are_those_of_sorting():
    similarity = np.random.default_rng(0).normal(size=(40, 40))
    order = np.argsort(-similarity, axis=1)
    expected = [int(np.flatnonzero(row == i)[0]) for i, row in enumerate(order)]
    assert ranks(similarity).tolist() == expected


def test_a_tie_counts_against():
    assert ranks(np.ones((5, 5))).tolist() == [4] * 5


def test_equal_texts_stand_for_each_other_where_that_is_asked():
    similarity = np.array([[0.5, 0.9, 0.1], [0.2, 0.3, 0.4], [0.1, 0.2, 0.9]])
    assert ranks(similarity).tolist() == [1, 1, 0]
    assert ranks(similarity, ["same", "same", "other"]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("n", "pools"),
    [
        (7, [7]),
        (100, [100]),
        (101, [100, 101]),
        (1000, [100, 500, 1000]),
        (2500, [100, 500, 1000, 2000, 2500]),
    ],
)
def test_pools_are_the_paper_s_and_all(n, pools):
    assert pool_sizes(n) == pools


def test_no_pair_is_an_error():
    with pytest.raises(UnusableData):
        pool_sizes(0)


@pytest.fixture
def setting(store, tmp_path) -> Setting:
    return Setting(store, "paper", tmp_path / "out", resamples=20)


def pairs(n: int) -> list[Item]:
    return [Item(str(i), str(i), str(i), "report", f"text {i}") for i in range(n)]


def test_recalls_are_counted_both_ways_in_each_pool(setting):
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(120, 120)) + 3 * np.eye(120)
    found = recalls(setting, "x", pairs(120), similarity)
    assert list(found.samples) == [100, "all 120"]
    pool = similarity[:100, :100]
    hits = [int(np.argmax(row)) == i for i, row in enumerate(pool)]
    assert found.recalls["IR"][0][0].value == pytest.approx(100 * np.mean(hits))
    top = [i in np.argsort(-column)[:10] for i, column in enumerate(similarity.T)]
    assert found.recalls["TR"][2][1].value == pytest.approx(100 * np.mean(top))


def test_a_perfect_pair_finds_everything(setting):
    found = recalls(setting, "x", pairs(12), np.eye(12))
    assert {cell.value for rows in found.recalls.values() for row in rows for cell in row} == {100}


def test_images_are_embedded_as_the_pair_does_and_kept(pair_system, store, tmp_path):
    keys = list(store.images)
    vectors = embed_images(pair_system, store, keys, tmp_path / "images", batch=4)
    volumes = as_unit_interval(torch.stack([store.stored(key) for key in keys]))
    with torch.inference_mode():
        assert torch.allclose(vectors, pair_system.pair.encode_image(volumes), atol=1e-5)
    held = {k for path in (tmp_path / "images").iterdir() for k in load_file(path)}
    assert held == set(keys)


def test_a_killed_run_embeds_what_is_missing_only(pair_system, store, tmp_path, monkeypatch):
    keys = list(store.images)
    whole = embed_images(pair_system, store, keys, tmp_path / "images", batch=2)
    sorted((tmp_path / "images").iterdir())[-1].unlink()
    seen, read = [], store.stored
    monkeypatch.setattr(store, "stored", lambda key: seen.append(key) or read(key))
    assert torch.allclose(embed_images(pair_system, store, keys, tmp_path / "images", 2), whole)
    assert seen == keys[-2:]


def test_equal_texts_have_the_very_same_vector(pair_system):
    texts = ["There is ascites.", "There is cardiomegaly. There is ascites.", "There is ascites."]
    vectors = embed_texts(pair_system, texts, batch=2)
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[1])


@pytest.mark.parametrize("part", ["vision_encoder", "language_encoder"])
def test_embeddings_that_are_no_numbers_find_nothing(part, setting, pair_system):
    pair = deepcopy(pair_system.pair)
    for weight in getattr(pair, part).parameters():
        weight.data.fill_(torch.nan)
    with pytest.raises(UnusableData, match="6 of 6 embeddings are no finite numbers"):
        evaluate_retrieval(setting, replace(pair_system, pair=pair))


def test_a_text_longer_than_the_encoder_reads_is_cut(pair_system):
    assert embed_texts(pair_system, ["There is ascites. " * 60], batch=1).shape == (1, 8)


def test_table_1_is_written_with_its_plot(setting, pair_system):
    results = evaluate_retrieval(setting, pair_system)
    strict, by_text = results["tables"]
    assert strict["title"] == "Image-text retrieval, split paper, 6 test pairs of phantoms"
    assert strict["rows"][0]["direction"] == "image → text (IR)"
    assert strict["rows"][0]["DCFormer-S SigLIP (paper) 2000"] == 61.0
    assert 0 <= strict["rows"][0]["pair all 6"]["value"] <= 100
    assert by_text["name"] == "table1_by_text"
    assert all("paper)" not in column for column in by_text["rows"][0])
    assert (setting.folder / "table1.png").is_file()
    assert (setting.folder / "scores.csv").read_text().count("IR R@1,") == 6
    assert json.loads((setting.folder / "results.json").read_text()) == results


def test_an_image_of_slices_is_as_similar_as_the_closest_one():
    images = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [0.8, 0.6]]])
    texts = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(closest(images, texts), torch.tensor([[1.0, 1.0], [0.8, 0.8]]))


def test_a_pair_for_slices_gets_the_mean_of_slices_beside_it(setting, pair_system, tokenizer):
    text = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, num_hidden_layers=1,
        num_attention_heads=1, intermediate_size=16, max_position_embeddings=80,
    )  # fmt: skip
    torch.manual_seed(0)
    vision = SliceEncoderConfig(pair_system.preprocess.size, (1, 1, 1, 1), stem=8, output=16)
    pair = PMCClip(PMCClipConfig(vision, text)).eval()
    results = evaluate_retrieval(setting, replace(pair_system, pair=pair))
    assert [table["name"] for table in results["tables"]] == [
        "table1", "table1_by_text", "table1_mean_of_slices", "table1_by_text_mean_of_slices"
    ]  # fmt: skip
    assert "pair, mean of slices all 6" in results["tables"][2]["rows"][0]


def test_figures_have_intervals(setting, pair_system):
    found = recalls(setting, "x", pairs(30), np.random.default_rng(0).normal(size=(30, 30)))
    cell = found.recalls["IR"][2][0]
    assert isinstance(cell, Interval)
    assert cell.low <= cell.value <= cell.high
