from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import AdamW
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import RecipeError, TrainingError
from engine.network.contrastive import ContrastiveConfig, ContrastivePair
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.sizes.memory import PUBLISHED_MODEL, Alive, weight_bytes
from plugin.cli import main
from tests.training import tiny
from training.learner.begin import answering
from training.memory import check
from training.memory.account import (
    ACTIVATIONS,
    FROZEN,
    TRAINED,
    Weights,
    account,
    module_without_memory,
    peak_of_a_pass,
    spread,
    weigh,
)
from training.memory.check import advice, require_memory, require_room, sizes
from training.recipe.model import TextEncoder
from training.recipe.recipe import load_recipe
from training.recipe.stages import Contrastive
from training.run.batch_norm import share_batch_norm
from training.run.dropout import drop_by_items
from training.stages.contrastive import prepare_pair
from training.wording.conversation import IGNORED

CONFIG = Med3DVLMConfig(
    tiny.VISION, tiny.projector_config(), Qwen2Config(vocab_size=40, **tiny.QWEN)
)
FP32 = torch.float32


def recipe(**changes):
    return tiny.recipe("nowhere", **changes)


def real_module(stage):
    torch.manual_seed(0)
    return answering(Med3DVLM(CONFIG), stage, seed=0).train()


def one_pass(module, stage):
    """Forward and backward of a full micro-batch; returns what was held and how much was alive."""
    size, images = stage.micro_batch, module.model.image_token_count
    draw = drop_by_items(module)
    draw.begin(0, 0, torch.arange(size))
    volume = torch.rand(size, 1, *tiny.SPEC.size)
    ids = torch.randint(0, 40, (size, stage.max_tokens))
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    held = [*module.parameters(), *module.buffers(), *gradients, ids, volume]
    with Alive(held) as alive:
        hidden = module.read(module.see(volume), ids)[:, images:].flatten(0, 1)
        module.loss(hidden, ids[:, images:].flatten()).backward()
    return alive.peak + volume.nbytes


@pytest.mark.parametrize("name", ["projector", "finetune"])
def test_weights_gradients_and_moments_are_those_of_a_real_run(name):
    stage = getattr(recipe(), name)
    module = real_module(stage)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = AdamW(trained)
    ids = torch.randint(0, 40, (2, 20))
    labels = ids.clone()
    labels[:, :10] = IGNORED
    drop_by_items(module).begin(0, 0, torch.arange(2))
    module([torch.rand(2, 1, *tiny.SPEC.size)], ids, labels).backward()
    optimizer.step()
    moments = [t for s in optimizer.state.values() for t in s.values() if t.ndim]

    counted = account(recipe(), name, CONFIG)
    everything = [*module.parameters(), *module.buffers()]
    gradients = [p.grad for p in trained]
    frozen = sum(t.nbytes for t in everything) - sum(p.nbytes for p in trained)
    assert counted[FROZEN] == frozen
    assert counted[TRAINED] == sum(t.nbytes for t in [*trained, *gradients, *moments])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", ["projector", "finetune"])
def test_activations_are_those_of_a_real_pass(name, checkpointing):
    """To the byte, where both use plain attention; other kernels take less."""
    stage = getattr(recipe(gradient_checkpointing=checkpointing), name)
    counted = peak_of_a_pass(module_without_memory(stage, CONFIG, FP32), stage, FP32, recipe())
    with sdpa_kernel(SDPBackend.MATH):
        assert counted == one_pass(real_module(stage), stage)
    assert counted > one_pass(real_module(stage), stage)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_stage_1_is_counted_but_for_a_few_scalars(checkpointing):
    """Which have their values, and so their memory, on the CPU in both cases."""
    text = DistilBertConfig(
        vocab_size=30, dim=8, hidden_dim=16, n_layers=1, n_heads=2, max_position_embeddings=16
    )
    config = ContrastiveConfig(tiny.VISION, text, 8)
    stage = Contrastive(
        steps=1,
        global_batch=4,
        micro_batch=4,
        learning_rate=1e-4,
        weight_decay=0.1,
        gradient_checkpointing=checkpointing,
    )
    encoder = TextEncoder(pretrained="nowhere", max_tokens=16)
    with_pair = recipe().model_copy(update={"contrastive": stage, "text_encoder": encoder})
    counted = account(with_pair, "contrastive", config)

    pair = prepare_pair(ContrastivePair(tiny.VISION, text, 8), stage, exact_ranks=True).train()
    share_batch_norm(pair)
    drop_by_items(pair).begin(0, 0, torch.arange(4))
    ids, volume = torch.randint(0, 30, (4, 16)), torch.rand(4, 1, *tiny.SPEC.size)
    for parameter in pair.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in pair.parameters()]
    with Alive([*pair.parameters(), *pair.buffers(), *gradients, ids, volume]) as alive:
        pair(volume, ids, None).backward()
    assert counted[ACTIVATIONS] == pytest.approx(alive.peak + volume.nbytes, abs=100)
    assert counted[FROZEN] == sum(t.nbytes for t in pair.buffers())
    assert counted[TRAINED] == 4 * sum(t.nbytes for t in pair.parameters())


def test_checkpointing_and_a_smaller_micro_batch_take_less():
    def peak(**changes):
        stage = recipe(**changes).finetune
        return peak_of_a_pass(module_without_memory(stage, CONFIG, FP32), stage, FP32, recipe())

    assert peak(gradient_checkpointing=True) < peak()
    assert peak(micro_batch=1) < 0.6 * peak(micro_batch=2)


@pytest.mark.parametrize("quantization", ["none", "int8", "nf4"])
def test_weights_are_those_of_the_served_model_and_the_adapters(quantization):
    stage = recipe().finetune.model_copy(update={"quantization": quantization})
    module = module_without_memory(stage, CONFIG, FP32)
    counted = weigh(module, stage)
    adapters = sum(p.nbytes for n, p in module.named_parameters() if "lora_" in n)
    served = sum(weight_bytes(Med3DVLM(CONFIG), quantization).values())
    rotary = sum(b.nbytes for n, b in module.named_buffers() if "inv_freq" in n)
    assert counted.frozen + 4 * counted.trained == served + adapters + rotary


# 4 bytes a value: what every rank holds in full, and beside it shares of what it holds a part of
@pytest.mark.parametrize(
    ("zero", "frozen", "trained"),
    [(0, 1000, 400 * 4), (1, 1000, 400 * 2 + 1200 / 4), (2, 1000, 400 + 1600 / 4)],
)
def test_zero_spreads_over_four_ranks(zero, frozen, trained):
    """DeepSpeed reckons with gradients in 16 bit beside those in 32: a little too much."""
    parts = spread(Weights(trained=100, frozen=1000), zero, ranks=4)
    assert parts[FROZEN] == frozen
    assert trained <= parts[TRAINED] <= trained + 2 * 100


def test_zero_3_spreads_everything_and_gathers_a_layer():
    parts = spread(Weights(trained=100, frozen=1000, layer=10), 3, ranks=4)
    assert parts == {FROZEN: 250, TRAINED: (400 + 400 + 1200) / 4 + 4 * 10}


def test_the_site_recipe_trains_the_7b_on_24_gb():
    parts = account(load_recipe("site"), "finetune", PUBLISHED_MODEL)
    assert sum(parts.values()) < 24e9
    assert parts[FROZEN] > 5e9  # all of it is counted: the layers alone have 6.5 billion weights


@pytest.fixture(scope="module")
def tiny_recipe(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("recipe")
    return str(tiny.write_recipe(folder / "tiny.toml", tiny.write_llm(folder / "llm")))


def test_the_command_prints_each_part(tiny_recipe):
    arguments = ["--recipe", tiny_recipe, "--device-memory", "24"]
    result = CliRunner().invoke(main, ["train", "memory", *arguments])
    assert result.exit_code == 0, result.output
    assert "finetune of recipe tiny, 1 GPU, GiB on each" in result.stdout
    for part in (FROZEN, TRAINED, ACTIVATIONS, "in all"):
        assert part in result.stdout


def test_what_does_not_fit_ends_with_1_and_a_line(tiny_recipe):
    arguments = ["--recipe", tiny_recipe, "--device-memory", "0.5"]
    result = CliRunner().invoke(main, ["train", "memory", *arguments])
    assert result.exit_code == 1
    assert "takes 1.0 GiB of each GPU's 0.5 GiB; not even finetune." in result.stderr


def test_changes_are_tried_one_upon_the_other():
    stage = recipe(micro_batch=4).finetune
    wanted = recipe(micro_batch=4).model_copy(update={"finetune": stage})
    least = recipe(micro_batch=1, gradient_checkpointing=True)
    enough = sum(account(least, "finetune", CONFIG).values())
    said = advice(wanted, "finetune", CONFIG, 1, enough)
    assert said.startswith("finetune.gradient_checkpointing=true, finetune.micro_batch=1 would")


def test_where_nothing_helps_it_says_so():
    said = advice(recipe(), "finetune", CONFIG, 1, 1000)
    assert "not even" in said
    assert "larger GPUs" in said


def test_a_stage_that_does_not_fit_is_refused():
    with pytest.raises(TrainingError, match=r"projector of recipe tiny takes .* would|not even"):
        require_memory(recipe(), "projector", CONFIG, 1, 1000)


def test_a_run_on_a_gpu_says_what_it_takes_and_another_counts_nothing(monkeypatch, capsys):
    monkeypatch.setattr(check, "own_device", lambda: torch.device("cpu"))
    require_room(recipe(), "projector", CONFIG)
    assert not any(capsys.readouterr())
    monkeypatch.setattr(check, "own_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(check, "account", lambda *_: {TRAINED: 2000})
    small = SimpleNamespace(total_memory=1000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: small)
    with pytest.raises(TrainingError, match="projector of recipe tiny takes"):
        require_room(recipe(), "projector", CONFIG)
    assert "in all" in "".join(capsys.readouterr())


def test_sizes_come_from_the_recipe_or_from_what_the_stage_begins_with(tmp_path):
    llm = tiny.write_llm(tmp_path / "llm")
    assert sizes(tiny.recipe(llm), "finetune").llm.hidden_size == tiny.QWEN["hidden_size"]
    assert sizes(load_recipe("paper"), "projector").llm.hidden_size == 3584
    assert sizes(load_recipe("paper"), "contrastive").text.vocab_size == 119_547
    assert sizes(load_recipe("site"), "finetune") == PUBLISHED_MODEL
    with pytest.raises(RecipeError, match="name a folder"):
        sizes(recipe(), "finetune")
