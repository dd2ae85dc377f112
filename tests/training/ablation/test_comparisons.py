from dataclasses import replace

import numpy as np
import pytest

from training.ablation.comparisons import Comparison, comparison_table, comparisons, decided, said
from training.ablation.scores import Figure
from training.ablation.tables import Layout
from training.ablation.variants import FULL, SIGLIP, TABLES, Model, Pair, models_of, pairs_of
from training.data.phantoms.prepare import write_phantoms
from training.evaluation.metrics.bootstrap import Interval, wilson
from training.learner.material import open_material
from training.recipe.recipe import load_recipe

GOOD = Comparison(9, "2xMLP", "2xMLP-Mixer-H", "METEOR", 21.32, Interval(3.0, 1.0, 5.0), (3.0,))


TYPES = ("plane", "phase", "organ")


@pytest.fixture(scope="session")
def material(tiny, tmp_path_factory):
    store = tmp_path_factory.mktemp("phantoms") / "store"
    write_phantoms(store, tiny.seeds, tiny.preprocess_spec, kind=tiny.kind)
    return open_material(tiny, store)


def figure(value: float, n: int = 6) -> Figure:
    return Figure(
        tuple(f"c{i}" for i in range(n)),
        tuple(TYPES[i % 3] for i in range(n)),
        np.full((1, n), value),
    )


@pytest.fixture
def found():
    """The full model is always right, every other one wrong; pairs with SigLIP find everything."""
    of_pairs = {
        pair: {
            "pairs": {
                f"{label} R@{k} of {n}": figure(float(pair.loss == "siglip"), n)
                for label in ("IR", "TR")
                for k in (1, 5, 10)
                for n in (4, 6)
            }
        }
        for pair in pairs_of(TABLES)
    }
    counted = {name: figure(1.0) for name in ("true positives", "false positives", "missed")}
    of_models = {
        model: {
            "reports": {"METEOR": figure(float(model.name == FULL.name))},
            "findings": counted,
            "open": {"METEOR": figure(float(model.name == FULL.name))},
            "closed": {"accuracy": figure(float(model.name == FULL.name))},
        }
        for model in models_of(TABLES)
    }
    return of_pairs | of_models


def test_the_outcome_is_the_papers_where_the_interval_lies_on_its_side():
    assert GOOD.outcome == "as in the paper"
    assert replace(GOOD, here=Interval(-3.0, -5.0, -1.0)).outcome == "the other way round"
    assert replace(GOOD, here=Interval(3.0, -1.0, 7.0)).outcome == "undecided"


def test_a_sentence_says_both_directions_with_their_figures():
    assert GOOD.sentence() == (
        "METEOR. Paper: 2xMLP-Mixer-H above 2xMLP (+21.32). Here: 2xMLP-Mixer-H above 2xMLP, "
        "difference +3.00 [+1.00, +5.00]: as in the paper."
    )


def test_seeds_are_told_apart_where_there_are_several():
    assert "by seed +2.00, +4.00" in replace(GOOD, by_seed=(2.0, 4.0)).sentence()


def test_a_table_gets_the_sentences_on_it_alone():
    assert said([GOOD, replace(GOOD, table=10)], "table9") == [
        "1 of 1 comparisons are decided: 1 as in the paper, 0 the other way round.",
        GOOD.sentence(),
    ]
    assert said([GOOD], "towers") == []


def test_it_is_counted_how_many_are_decided_and_which_way():
    lost = replace(GOOD, here=Interval(-3.0, -5.0, -1.0))
    open_ = replace(GOOD, here=Interval(0.0, -1.0, 1.0))
    assert decided([GOOD, lost, open_, open_]) == (
        "2 of 4 comparisons are decided: 1 as in the paper, 1 the other way round."
    )


def test_with_several_seeds_it_is_counted_how_often_they_agree():
    agreed, split = replace(GOOD, by_seed=(2.0, 4.0)), replace(GOOD, by_seed=(-1.0, 7.0))
    assert decided([agreed, split]).endswith("Of these, 1 point the same way with every seed.")


def test_the_papers_differences_come_from_its_tables(found):
    papers = {(c.table, c.first, c.figure): c.paper for c in comparisons(found, TABLES)}
    assert papers[9, "2xMLP", "METEOR"] == 21.32
    assert papers[10, "2xMLP-H", "METEOR, mean of types"] == 2.27
    assert papers[11, "1xMLP-Mixer-H", "accuracy, mean of types"] == 0.44
    assert papers[6, "the model without SigLIP", "METEOR, mean of types"] == 0.40


def test_what_is_proposed_is_compared_with_everything_else(found):
    compared = comparisons(found, TABLES)
    assert len(compared) == 6 * 3 + 8
    of_models = [c for c in compared if c.table != 8]
    sure = wilson(1.0, 6).times(100)  # six of six cases, in which no draw differs
    assert all(c.here == sure for c in of_models)
    assert all(c.outcome == "as in the paper" for c in of_models)


def test_each_loss_and_each_tower_is_compared_in_both_directions(found):
    compared = comparisons(found, (8,))
    differences = {(c.first, c.second): c.here.value for c in compared}
    assert differences == {
        ("ViT3D CLIP", "ViT3D SigLIP"): 100.0,
        ("DCFormer CLIP", "DCFormer SigLIP"): 100.0,
        ("ViT3D CLIP", "DCFormer CLIP"): 0.0,
        ("ViT3D SigLIP", "DCFormer SigLIP"): 0.0,
    }


def test_scores_of_seeds_are_averaged(found):
    def twice(tested, factor):
        """A second seed, whose scores are those of the first times a factor."""
        return {
            what: {
                name: replace(f, by_seed=np.concatenate([f.by_seed, factor * f.by_seed]))
                for name, f in figures.items()
            }
            for what, figures in tested.items()
        }

    other = {variant: twice(found[variant], float(variant.name != FULL.name)) for variant in found}
    compared = comparisons(other, (7,))[0]
    assert compared.here.value == 50.0
    assert compared.by_seed == (100.0, 0.0)


def test_every_table_has_the_papers_rows_and_ours(material, found):
    layout = Layout(load_recipe("ablation"), material, found)
    for number, ours in {5: 4, 6: 16, 7: 4, 9: 4, 10: 16, 11: 4}.items():
        rows = layout.table(number).rows
        assert [row[0] for row in rows].count("here") == ours
        assert [row[0] for row in rows].count("paper") == ours


def test_a_metric_without_its_weights_is_said_not_to_be_computed(material, found):
    layout = Layout(load_recipe("ablation"), material, found, ("BERTScore: not computed.",))
    table = layout.table(9)
    assert table.rows[-1][table.columns.index("BERTScore")] == "not computed"
    assert "BERTScore: not computed." in table.notes


def test_table_9_counts_the_projectors_of_the_miniature(material, found):
    table = Layout(load_recipe("ablation"), material, found).table(9)
    counted = [row[table.columns.index("Parameters")] for row in table.rows[4:]]
    assert len(set(counted)) == 4


def test_comparisons_lie_in_a_table_of_their_own():
    table = comparison_table([GOOD])
    assert table.rows == (
        ("9", "2xMLP-Mixer-H − 2xMLP", "METEOR", 21.32, GOOD.here, "as in the paper"),
    )


def test_a_model_is_named_by_what_it_is_made_of():
    assert Model(SIGLIP, "2xMLP-H").name == "DCFormer SigLIP 2xMLP-H"
    assert Pair("ViT3D", "clip").name == "ViT3D CLIP"
