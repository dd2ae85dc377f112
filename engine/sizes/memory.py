"""Memory that a model takes while it writes, by part, counted on tensors that hold none."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedConfig

from dicom_io.errors import EngineError
from engine.checkpoints.decoding import Decoding
from engine.checkpoints.families import FAMILIES, Network, build, family_of, part_of
from engine.inference.generation import SHAPES_KEPT, bucket, capacity_for
from engine.inference.sequential import generator_for, has_state
from engine.judgement.evidence import Wordings, attributed, divided_tower, little_kept
from engine.network.families.med3dvlm import Med3DVLMConfig
from engine.network.projector import PUBLISHED
from engine.network.towers.dcformer import VARIANTS
from engine.protocol import Quantization
from engine.sizes.tables import QWEN

PUBLISHED_MODEL = Med3DVLMConfig(VARIANTS["small"], PUBLISHED, QWEN, splice="published")
"""The sizes of `MagicXin/Med3DVLM-Qwen-2.5-7B`."""

KV_CACHE, KEPT_CACHES, ACTIVATIONS = "KV cache", "kept caches", "activations"
EVIDENCE = "evidence"

SAID = [[0] * 32] * 4
"""A long sentence and three denials: the longest that the embedded model tells apart."""


@dataclass(frozen=True)
class Load:
    """What a model is asked for at once.

    Parameters
    ----------
    texts : int
        Studies in a batch, or samples of one study.
    question_tokens, new_tokens : int
        Of each text.
    evidence : bool
        Whether it is looked for, text by text, once they are written.
    """

    texts: int = 1
    question_tokens: int = 64
    new_tokens: int = 256
    evidence: bool = False


def memory_by_part(
    config: Any, dtype: torch.dtype, quantization: Quantization = "none", load: Load | None = None
) -> dict[str, int]:
    """Count the bytes of weights by part, keys and values, and activations.

    Parameters
    ----------
    config : object
        Of any family (`engine.checkpoints.families`).
    dtype : torch.dtype
        Of projector and language model; the vision tower runs in float32.
    quantization : str
        Of the language model's layers.
    load : Load, optional

    Returns
    -------
    dict of str to int
        Activations are the most that is alive at once beside the weights while a volume is encoded
        or the prompts are read, with plain attention: an upper bound. Evidence is what the search
        for it needs beyond them: it begins when they are gone. What CUDA itself takes (its context,
        workspaces of its libraries) is not counted.
    """
    load = load or Load()
    network = build(config).to("meta")
    exact = FAMILIES[family_of(config)].exact
    network.to(dtype).get_submodule(exact.rstrip(".")).float()
    network.eval().requires_grad_(False)
    parts = weight_bytes(network, quantization, tied=config.llm.tie_word_embeddings)
    prompt = network.image_token_count + load.question_tokens
    own = has_state(config.llm)  # its cache grows, and one text is written at a time
    capacity = prompt + load.new_tokens if own else capacity_for(prompt, load.new_tokens)
    slots = capacity + prompt  # a prompt is kept until it is answered
    token = bytes_per_token(config.llm, dtype)
    parts[KV_CACHE] = load.texts * slots * token
    if not own and (others := kept_rows(load.texts)):
        parts[KEPT_CACHES] = others * capacity_for(prompt, load.new_tokens) * token
    parts[ACTIVATIONS] = _activations(network, prompt, load.texts, dtype)
    if load.evidence:
        most = _evidence(network, prompt + load.new_tokens)
        parts[EVIDENCE] = max(0, most - parts[ACTIVATIONS])
    if quantization == "nf4":  # a prompt's linear maps are taken out of 4 bit, one at a time
        parts[ACTIVATIONS] += max(map(_full_bytes, _linears(network.llm_layers)))
    return parts


def kept_rows(texts: int) -> int:
    """Count the texts whose caches stay from batches of other sizes, at most (`SHAPES_KEPT`).

    Batches of up to `texts` fill buckets of 1, 2, 4, …; the largest of them is at work.
    """
    smaller = [1 << power for power in range((texts - 1).bit_length())]
    filled_up = bucket(texts) - texts
    return filled_up + sum(smaller[-(SHAPES_KEPT - 1) :])


def weight_bytes(
    network: Network, quantization: Quantization = "none", *, tied: bool = False
) -> dict[str, int]:
    """Count the bytes of a network's tensors by part, as they will be once it is quantized.

    Parameters
    ----------
    network : nn.Module
        Its tensors may hold no memory.
    quantization : {"none", "int8", "nf4"}
    tied : bool
        Whether the head is the embeddings, and so takes no bytes of its own.
    """
    parts: Counter[str] = Counter()
    for name, tensor in network.state_dict().items():
        if not (tied and part_of(name) == "head"):
            parts[part_of(name)] += _bytes(tensor)
    if quantization != "none":
        small = {"int8": int8_bytes, "nf4": nf4_bytes}[quantization]
        for linear in _linears(network.llm_layers):
            parts["layers"] += small(linear) - _full_bytes(linear)
    return dict(parts)


def int8_bytes(linear: nn.Linear) -> int:
    """A byte a weight, and a float32 a row."""
    return linear.weight.numel() + 4 * linear.out_features


def nf4_bytes(linear: nn.Linear) -> int:
    """Half a byte a weight, a byte for 64 of them, a float32 for 256 of those bytes; code books.

    The scales of 64 weights are quantized themselves (Dettmers 2023, section 3, double
    quantization); the code books have 16 and 256 float32, and there is one float32 offset.
    """
    blocks = -(-linear.weight.numel() // 64)
    return linear.weight.numel() // 2 + blocks + 4 * (-(-blocks // 256) + 16 + 256 + 1)


def bytes_per_token(llm: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Count the bytes of one token's keys and values in all layers that keep them."""
    width = getattr(llm, "head_dim", None) or llm.hidden_size // llm.num_attention_heads
    kinds = getattr(llm, "layer_types", None) or ()
    layers = llm.num_hidden_layers - kinds.count("linear_attention")
    return int(2 * layers * llm.num_key_value_heads * width * dtype.itemsize)


def _linears(layers: nn.ModuleList) -> Iterable[nn.Linear]:
    return (module for module in layers.modules() if isinstance(module, nn.Linear))


def _full_bytes(linear: nn.Linear) -> int:
    return _bytes(linear.weight)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _activations(network: Network, prompt: int, texts: int, dtype: torch.dtype) -> int:
    generator = generator_for(network, Decoding())
    volume = torch.empty(1, 1, *network.config.vision.input_size, device="meta")
    width = network.config.llm.hidden_size
    prompts = [torch.empty(prompt, width, device="meta", dtype=dtype) for _ in range(texts)]
    held = [*network.parameters(), *network.buffers(), volume, *prompts]
    encoding = peak_bytes(lambda: network.image_tokens(network.encode_image(volume)), held)
    return max(encoding, peak_bytes(lambda: generator.read(prompts), held))


def _evidence(network: Network, written: int) -> int:
    """Count what a step of the search needs for a sentence at the end of a text."""
    tower = divided_tower(network)
    if tower is None:
        raise EngineError("this model's vision tower cannot be entered: it names no evidence")
    volume = torch.empty(1, 1, *network.config.vision.input_size, device="meta")
    before = torch.zeros(1, written, dtype=torch.long, device="meta")

    def look() -> None:
        own = tower.to_grid(volume)
        with torch.enable_grad(), little_kept(network):
            attributed(network, (own.clone(), own), Wordings(before, SAID[0], SAID[1:]), steps=2)

    held = [*network.parameters(), *network.buffers(), volume, before]
    with network.register_forward_pre_hook(_with_mask, with_kwargs=True):
        return peak_bytes(look, held)


def _with_mask(network: Any, args: tuple[Tensor], options: dict[str, Any]) -> tuple[Any, Any]:
    """Give attention its mask, for which it would look at values that are not there."""
    texts, tokens = args[0].shape[:2]
    mask = torch.empty(texts, 1, tokens, tokens, dtype=torch.bool, device="meta")
    return args, {**options, "attention_mask": mask}


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of every storage that operators make, and the most at one time."""

    def __init__(self, held: Iterable[Tensor]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet(t.untyped_storage() for t in held)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return made

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size: int) -> None:
        self.now -= size


def peak_bytes(run: Callable[[], object], held: Iterable[Tensor]) -> int:
    """Return the most bytes that `run` has alive at once beside the tensors it is given."""
    with torch.no_grad(), Alive(held) as alive:
        run()
    return int(alive.peak)
