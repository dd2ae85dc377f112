import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers.models.roberta import RobertaModel

from dicom_io.errors import UnusableData
from tests.training.evaluation.roberta import write_roberta
from training.evaluation.metrics.bertscore import BertScore

PREDICTIONS = ["No pleural effusion is seen in the left lung.", "Heart is enlarged."]
REFERENCES = ["Right pleural effusion with atelectasis.", "The heart is enlarged."]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_roberta(tmp_path_factory.mktemp("weights") / "roberta")


def hidden(folder, text: str, layer: int) -> np.ndarray:
    """Unit vectors (n, width) of a text that follows a space, as RoBERTa was trained to read it."""
    from tokenizers import ByteLevelBPETokenizer

    vocabulary = str(folder / "vocab.json"), str(folder / "merges.txt")
    tokenizer: Tokenizer = ByteLevelBPETokenizer.from_file(*vocabulary)
    ids = [0, *tokenizer.encode(" " + text).ids, 2]
    model = RobertaModel.from_pretrained(folder, add_pooling_layer=False)
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer]
    vectors = states[0].double().numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def f1_by_hand(folder, prediction: str, reference: str, layer: int) -> float:
    """Every token but the first and the last finds its nearest in the other text."""
    similarity = hidden(folder, prediction, layer) @ hidden(folder, reference, layer).T
    precision = similarity.max(axis=1)[1:-1].mean()
    recall = similarity.max(axis=0)[1:-1].mean()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("layer", [1, 2])
def test_it_is_the_f1_of_nearest_tokens(weights, layer):
    expected = [
        f1_by_hand(weights, p, r, layer) for p, r in zip(PREDICTIONS, REFERENCES, strict=True)
    ]
    assert BertScore(weights, layer).score(PREDICTIONS, REFERENCES) == pytest.approx(
        np.array(expected), abs=1e-5
    )


def test_it_is_what_transformers_4_gave(weights):
    """Printed by bert-score 0.3.13 with transformers 4.46.3 on these weights."""
    scores = BertScore(weights, 2).score(PREDICTIONS, REFERENCES)
    assert scores == pytest.approx(np.array([0.8028329, 0.7672425]), abs=1e-5)


def test_a_text_equals_itself(weights):
    assert BertScore(weights, 2).score(["Ascites."], ["Ascites."]) == pytest.approx(1)


def test_an_empty_prediction_scores_nothing_and_leaves_the_others_alone(weights):
    scores = BertScore(weights, 2).score(["", "Ascites."], ["Ascites.", "Ascites."])
    assert scores[0] == 0
    assert scores[1] == pytest.approx(1)


def test_a_text_longer_than_the_model_reads_is_cut(weights):
    scores = BertScore(weights, 2).score(["cyst " * 600], ["cyst"])
    assert 0 < scores[0] < 1


def test_weights_that_are_not_there_are_named_with_the_command(tmp_path):
    with pytest.raises(UnusableData, match="`hf download roberta-large`"):
        BertScore(tmp_path / "nowhere").score(["a"], ["a"])
