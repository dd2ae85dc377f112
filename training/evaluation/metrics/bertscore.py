"""BERTScore F1 as the paper has it: roberta-large, layer 17, no idf, no rescaling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dicom_io.errors import UnusableData
from training.evaluation.metrics.text_metrics import Scores

MODEL, LAYER = "roberta-large", 17


class BertScore:
    """BERTScore by the library bert-score, on weights that lie on this machine.

    Parameters
    ----------
    weights : str or Path
        A folder, or a name in Hugging Face's cache; nothing is downloaded.
    layer : int
        Whose hidden states are compared.
    device : str
        A torch device.
    """

    name = "BERTScore"

    def __init__(self, weights: str | Path = MODEL, layer: int = LAYER, device: str = "cpu"):
        self.weights, self.layer, self.device = str(weights), layer, device

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> Scores:
        from bert_score.utils import bert_cos_score_idf

        model, tokenizer = self._loaded
        written = [i for i, text in enumerate(predictions) if text.strip()]
        scores = np.zeros(len(predictions))
        if written:
            every_token_counts = defaultdict(
                lambda: 1.0, {tokenizer.cls_token_id: 0.0, tokenizer.sep_token_id: 0.0}
            )
            found = bert_cos_score_idf(
                model,
                [references[i] for i in written],
                [predictions[i] for i in written],
                tokenizer,
                every_token_counts,
                device=self.device,
            )
            scores[written] = found[:, 2].double().numpy()
        return scores

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Return the model, cut off behind the layer, and its tokenizer.

        bert-score asks the tokenizer for a space before the first word at every call, which
        transformers 5 ignores without a word; asked for here, old and new releases agree.
        """
        from transformers import AutoModel, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.weights, local_files_only=True, add_prefix_space=True
            )
            model = AutoModel.from_pretrained(
                self.weights, local_files_only=True, add_pooling_layer=False
            )
        except (OSError, ValueError) as error:
            raise UnusableData(
                f"needs the weights of {MODEL}: `hf download {MODEL}` with a network, or "
                f"`--bert-score FOLDER`; {self.weights} is not there"
            ) from error
        model.encoder.layer = model.encoder.layer[: self.layer]
        return model.eval().to(self.device), tokenizer
