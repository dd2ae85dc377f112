"""Native checkpoints for users of transformers: `AutoModelForCausalLM.from_pretrained(folder)`.

`import engine` has this module imported as soon as transformers' auto classes are, without loading
torch before. Nothing of `engine` is imported at the top: it may be half imported at that moment.
"""

# transformers annotates its own methods more narrowly than it calls them
# mypy: disable-error-code="override,no-untyped-call,misc,arg-type"

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

if TYPE_CHECKING:
    from engine.network.vision_language_model import VisionLanguageModel


class CtscribeConfig(PreTrainedConfig):
    """config.json of a native checkpoint; see docs/checkpoints.md for its keys."""

    model_type = "ctscribe"

    def __init__(self, text_config: dict[str, Any] | PreTrainedConfig | None = None, **kwargs: Any):
        if isinstance(text_config, dict):
            others = {name: value for name, value in text_config.items() if name != "model_type"}
            text_config = AutoConfig.for_model(text_config["model_type"], **others)
        self.text_config = text_config
        tied = False if text_config is None else text_config.tie_word_embeddings
        super().__init__(**{"tie_word_embeddings": tied, **kwargs})


class CtscribeForCausalLM(PreTrainedModel, GenerationMixin):
    """Any family of `engine.checkpoints.families` as transformers sees a language model.

    Parameters
    ----------
    config : CtscribeConfig
    """

    config_class = CtscribeConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: CtscribeConfig):
        super().__init__(config)
        from engine.checkpoints.families import FAMILIES, network_from_dict

        self.network: VisionLanguageModel
        network = FAMILIES[config.family].create(network_from_dict(config.to_dict()))
        for name, part in network.named_children():
            self.add_module(name, part)
        # beside the tree of modules, so that tensors keep the names they have in every checkpoint
        object.__setattr__(self, "network", network)
        self.post_init()

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        """Load as `PreTrainedModel.from_pretrained` does, once every file has been verified.

        Parameters
        ----------
        name_or_path : str or Path
            A folder; or a repository of the hub, with its commit as `revision=`.

        Raises
        ------
        EngineError
            The repository is named without a commit, or cannot be downloaded.
        CheckpointMismatch
            A file is missing, damaged, changed or not vouched for.
        """
        from engine.checkpoints.folder import checkpoint_folder, is_hub_id, verify

        revision = kwargs.pop("revision", None)
        at_commit = f"{name_or_path}@{revision}"
        folder = checkpoint_folder(at_commit if is_hub_id(at_commit) else name_or_path)
        verify(folder)
        return super().from_pretrained(folder, *args, **kwargs)

    def save_pretrained(self, folder: str | Path, **kwargs: Any) -> None:
        """Save as `PreTrainedModel.save_pretrained` does, and vouch for all that lies there.

        Save the tokenizer first: what is written later is refused when the folder is loaded.
        """
        from engine.checkpoints.folder import seal

        super().save_pretrained(folder, **kwargs)
        seal(Path(folder))

    def get_input_embeddings(self) -> nn.Module:
        return self.get_submodule("model.embed_tokens")

    def get_output_embeddings(self) -> nn.Module:
        return self.get_submodule("lm_head")

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        images: Tensor | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits, and the loss where there are labels.

        Parameters
        ----------
        attention_mask, position_ids, past_key_values, logits_to_keep
            As the language model takes them.
        inputs_embeds : Tensor, optional
            In place of `input_ids`.
        input_ids : Tensor, shape (B, n), or `inputs_embeds` (B, n, hidden size)
        images : Tensor, shape (B, 1, D, H, W), optional
            Volumes in [0, 1]; `input_ids` begins with their placeholders then.
        labels : Tensor, shape (B, n), optional
            Tokens to predict, -100 where none is.
        """
        if inputs_embeds is None:
            inputs_embeds = self.embed(input_ids, images)
        logits = self.network(
            inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
        )
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.text_config.vocab_size)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def embed(self, input_ids: Tensor, images: Tensor | None = None) -> Tensor:
        """(B, n) and volumes -> embeddings (B, n, hidden size), image tokens spliced in."""
        if images is None:
            return self.network.embed_tokens(input_ids)
        hidden_states = self.network.encode_image(images.to(self.dtype))
        return self.network.embed_prompt(input_ids, self.network.image_tokens(hidden_states))

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,
        images: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Show the images with the prompt, not again with each new token.

        Parameters
        ----------
        input_ids : Tensor
            All tokens so far.
        inputs_embeds : Tensor, optional
            In place of the first of them.
        images : Tensor, optional
            Volumes, shown with the first tokens only.
        """
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, **kwargs
        )
        if kwargs.get("is_first_iteration"):
            inputs["images"] = images
        return inputs


AutoConfig.register("ctscribe", CtscribeConfig)
AutoModelForCausalLM.register(CtscribeConfig, CtscribeForCausalLM)
