"""Native checkpoints through transformers' own interface."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.inference.local import LocalEngine
from engine.protocol import Sampling
from tests.engine.conftest import input_for

IMAGE, EOS = 0, 1


@pytest.fixture
def prompt(checkpoint: Checkpoint) -> torch.Tensor:
    question = checkpoint.tokenizer.encode(checkpoint.prompt.report).ids
    return torch.tensor([[IMAGE] * 8 + question])


@pytest.fixture
def volume(checkpoint: Checkpoint) -> torch.Tensor:
    return torch.from_numpy(input_for(checkpoint.preprocess).pixels)[None]


@pytest.mark.parametrize(
    "imports",
    [
        "import engine; from transformers import AutoModelForCausalLM",
        "from transformers import AutoModelForCausalLM; import engine",
    ],
)
def test_importing_the_package_is_enough(folder: Path, imports: str) -> None:
    code = f"{imports}; AutoModelForCausalLM.from_pretrained({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_generate_writes_what_the_engine_writes(
    checkpoint: Checkpoint, folder: Path, prompt: torch.Tensor, volume: torch.Tensor
) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    written = model.generate(prompt, images=volume, do_sample=False, max_new_tokens=12)
    embedded = model.generate(
        inputs_embeds=model.embed(prompt, volume), do_sample=False, max_new_tokens=12
    )
    sampling = Sampling(max_new_tokens=12, stop_at_loop=False)
    report = LocalEngine(checkpoint).report(input_for(checkpoint.preprocess), sampling)
    tokens = written[0, prompt.shape[1] :].tolist()
    assert tokens[: len(report.token_ids)] == list(report.token_ids)
    assert embedded[0].tolist() == tokens


def test_labels_give_a_loss_that_trains_every_part(
    folder: Path, prompt: torch.Tensor, volume: torch.Tensor
) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    labels = prompt.masked_fill(prompt == IMAGE, -100)
    output = model(prompt, images=volume, labels=labels)
    output.loss.backward()
    assert output.logits.shape == (1, prompt.shape[1], model.config.text_config.vocab_size)
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert {"vision_tower", "mm_projector", "layers"} <= trained


def test_what_transformers_saves_is_a_native_checkpoint(folder: Path, tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(
        tmp_path / "copy", max_shard_size="8KB"
    )
    original, copy = load_checkpoint(folder), load_checkpoint(tmp_path / "copy")
    assert (copy.card, copy.prompt, copy.preprocess) == (
        original.card,
        original.prompt,
        original.preprocess,
    )
    state = copy.model.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in original.model.state_dict().items())
    assert list((tmp_path / "copy").glob("model-*-of-*.safetensors"))


def test_the_tokenizer_ends_a_text_with_the_prompts_token(folder: Path) -> None:
    assert AutoTokenizer.from_pretrained(folder).eos_token_id == EOS


def test_a_changed_file_is_refused_here_too(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointMismatch, match="damaged or changed"):
        AutoModelForCausalLM.from_pretrained(folder)
