# What evaluations are of is the same for the commands and for the functions behind them
from tests.training.evaluation.conftest import (  # noqa: F401
    checkpoint,
    data,
    nltk_files,
    pair_system,
    store,
    tokenizer,
)
