"""The embedded model's vocabulary: the words of its own reports, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

PAD, EOS, UNKNOWN, IMAGE = SPECIAL = ("<pad>", "<eos>", "<unk>", "<im_patch>")


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Build a word-level tokenizer of every word and punctuation mark in `texts`.

    A word carries its leading space, so that decoding gives the text back character by character.
    """
    split = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
