"""The tokenizer of a checkpoint, as the releases of Hugging Face's tokenizers have stored it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from dicom_io.errors import CheckpointMismatch
from dicom_io.extras import install_hint
from engine.checkpoints.folder import read_json

TOKENIZER = "tokenizer.json"
SENTENCEPIECE = "tokenizer.model"
WORDPIECE = "vocab.txt"
WORDS = "idx2token.json"

END, UNKNOWN = "<end>", "<unk>"
"""Of CT2Rep's words: number 0, which has no word, and what stands for all unknown ones."""

FILES = (
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    SENTENCEPIECE,
    WORDPIECE,
    WORDS,
)
"""What `save_pretrained` of a tokenizer may write."""


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read `tokenizer.json`, or what slow tokenizers left in its place.

    They are those of Qwen, RoBERTa, Llama and BERT, and the words of CT2Rep.

    Raises
    ------
    CheckpointMismatch
        There is none of them, or it cannot be read.
    """
    if (folder / TOKENIZER).is_file():
        try:
            return Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises no narrower one
            raise CheckpointMismatch(f"{folder / TOKENIZER} is no tokenizer") from error
    if (folder / SENTENCEPIECE).is_file():
        return _read_sentencepiece(folder)
    if (folder / WORDPIECE).is_file():
        from transformers import BertTokenizer

        bert: Tokenizer = BertTokenizer.from_pretrained(folder).backend_tokenizer
        return bert
    if (folder / WORDS).is_file():
        return _read_words(folder / WORDS)
    if not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        raise CheckpointMismatch(f"{folder} lacks {TOKENIZER}")
    from transformers import Qwen2Tokenizer, RobertaTokenizer

    begins = "<s>" in read_json(folder / "vocab.json")
    kind = RobertaTokenizer if begins else Qwen2Tokenizer
    tokenizer: Tokenizer = kind.from_pretrained(folder).backend_tokenizer
    return tokenizer


def _read_sentencepiece(folder: Path) -> Tokenizer:
    try:
        import sentencepiece  # noqa: F401 - transformers reads the file with it
    except ModuleNotFoundError as error:
        raise CheckpointMismatch(
            f"{folder} lacks {TOKENIZER}, and to read its {SENTENCEPIECE}, {install_hint(error)}"
        ) from error
    from transformers import LlamaTokenizer

    try:
        tokenizer: Tokenizer = LlamaTokenizer.from_pretrained(folder).backend_tokenizer
    except Exception as error:  # sentencepiece raises no narrower one
        raise CheckpointMismatch(f"{folder / SENTENCEPIECE} is no tokenizer") from error
    return tokenizer


def _read_words(path: Path) -> Tokenizer:
    """Number -> word, from 1 on."""
    words: dict[str, Any] = read_json(path)
    numbers = {str(word): int(number) for number, word in words.items() if number.isdecimal()}
    if UNKNOWN not in numbers or sorted(numbers.values()) != list(range(1, len(words) + 1)):
        raise CheckpointMismatch(f"{path} does not number words from 1 on, {UNKNOWN} among them")
    tokenizer = Tokenizer(models.WordLevel({END: 0, **numbers}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END])
    return tokenizer


def tokenizer_files(folder: Path) -> list[Path]:
    """List what of `FILES` a folder holds."""
    return [folder / name for name in FILES if (folder / name).is_file()]


def eos_token(folder: Path) -> str | None:
    """Return the token that ends a text, as tokenizer_config.json states it."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return None
    token: Any = read_json(path).get("eos_token")
    return str(token["content"] if isinstance(token, dict) else token) if token else None
