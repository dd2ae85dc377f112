from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from dicom_io.errors import CheckpointMismatch, EngineError, OutOfDeviceMemory, PromptTooLong
from dicom_io.model_input.preprocess import ModelInput
from engine.checkpoints.checkpoint import Checkpoint, Prompt
from engine.inference import cpu
from engine.inference.device import choose_device, choose_dtype
from engine.inference.local import LocalEngine
from engine.inference.question import Asked
from engine.network.out_of_distribution import fit_distribution, image_features
from engine.protocol import Sampling
from tests.engine.conftest import WORDS, input_for

SHORT = Sampling(max_new_tokens=4)


def test_the_embedding_is_the_mean_of_the_last_stage(checkpoint: Checkpoint) -> None:
    model_input = input_for(checkpoint.preprocess)
    generation = LocalEngine(checkpoint).report(model_input, Sampling(max_new_tokens=1))
    with torch.inference_mode():
        last = checkpoint.model.encode_image(torch.from_numpy(model_input.pixels)[None])[-1]
    assert np.allclose(generation.image_embedding, last[0].mean(dim=0).numpy())


def test_another_seed_may_draw_another_report(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(checkpoint)
    checkpoint.model.lm_head.weight.data.div_(20)
    model_input = input_for(checkpoint.preprocess)
    drawn = {
        engine.report(model_input, Sampling(max_new_tokens=8, temperature=1, seed=s)).token_ids
        for s in range(4)
    }
    assert len(drawn) > 1


def test_a_context_that_is_too_small_is_counted_out(checkpoint: Checkpoint) -> None:
    with pytest.raises(PromptTooLong, match="8 image tokens, 3 of the question and 60 new"):
        LocalEngine(checkpoint).report(
            input_for(checkpoint.preprocess), Sampling(max_new_tokens=60)
        )


def test_the_whole_context_may_be_used(checkpoint: Checkpoint) -> None:
    generation = LocalEngine(checkpoint).report(
        input_for(checkpoint.preprocess), Sampling(max_new_tokens=64 - 8 - 3)
    )
    assert generation.finish_reason in ("eos", "length")


def full_gpu(volume: torch.Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def full_memory(volume: torch.Tensor) -> None:
    torch.empty(1 << 55)


@pytest.mark.parametrize("full", [full_gpu, full_memory])
def test_a_full_device_is_an_error_worth_a_retry(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, full: Callable[..., None]
) -> None:
    monkeypatch.setattr(checkpoint.model, "encode_image", full)
    with pytest.raises(OutOfDeviceMemory) as caught:
        LocalEngine(checkpoint).report(input_for(checkpoint.preprocess), Sampling(max_new_tokens=1))
    assert caught.value.retryable


def test_it_abstains_from_an_image_unlike_its_training(checkpoint: Checkpoint) -> None:
    volumes = torch.cat(
        [
            torch.from_numpy(input_for(checkpoint.preprocess, seed).pixels)[None]
            for seed in range(10)
        ]
    )
    with torch.inference_mode():
        features = image_features(
            volumes,
            checkpoint.model.encode_image(volumes),
            input_for(checkpoint.preprocess).affine_lps,
        )
    distribution = fit_distribution(
        {k: v[:5] for k, v in features.items()}, {k: v[5:] for k, v in features.items()}, margin=3
    )
    engine = LocalEngine(replace(checkpoint, distribution=distribution))
    assert (
        engine.report(input_for(checkpoint.preprocess, 99), Sampling(max_new_tokens=1)).abstained
        is None
    )
    blank = input_for(checkpoint.preprocess)
    blank.pixels[:] = 0
    answer = engine.ask(blank, "the?", ("no", "spleen"), SHORT)
    for generation in (engine.report(blank, SHORT), answer.generation):
        assert (generation.text, generation.token_ids) == ("", ())
        assert generation.abstained is not None
        assert generation.image_embedding.shape == (16,)
    assert answer.choices == ()


def test_a_study_that_is_abstained_from_leaves_the_batch_alone(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(checkpoint)
    inputs = [input_for(checkpoint.preprocess, seed) for seed in (1, 2, 3)]
    reasons = iter([None, "it is unlike any", None])
    monkeypatch.setattr(engine, "_reason_to_abstain", lambda *seen: next(reasons))
    first, second, third = engine.report_batch(inputs, SHORT)
    assert (second.text, second.abstained) == ("", "it is unlike any")
    monkeypatch.undo()
    assert [first.text, third.text] == [engine.report(inputs[i], SHORT).text for i in (0, 2)]


def test_a_tokenizer_without_the_placeholder_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointMismatch, match="<image>"):
        LocalEngine(replace(checkpoint, prompt=Prompt("describe", image_token="<image>")))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_it_sees_does_not_depend_on_the_type(
    folder: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16_units", lambda: False)
    full = LocalEngine.load(folder, device="cpu", dtype="float32")
    half = LocalEngine.load(folder, device="cpu", dtype=dtype)
    embeddings = [
        e.report(input_for(e.preprocess), Sampling(max_new_tokens=1)).image_embedding
        for e in (full, half)
    ]
    assert np.array_equal(*embeddings)


def test_auto_runs_float32_on_the_cpu_and_bfloat16_on_cuda() -> None:
    assert choose_dtype("auto", torch.device("cpu")) is torch.float32
    assert choose_dtype("auto", torch.device("cuda")) is torch.bfloat16


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"


def test_a_model_that_answers_no_questions_says_so(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(replace(checkpoint, prompt=Prompt("describe")))
    with pytest.raises(EngineError, match="the model tiny was trained to write reports only"):
        engine.ask(input_for(checkpoint.preprocess), "the spleen?")


@pytest.mark.parametrize("question", ["the <im_patch> spleen?", "the spleen <eos>?"])
def test_a_question_cannot_smuggle_in_special_tokens(checkpoint: Checkpoint, question: str) -> None:
    with pytest.raises(EngineError, match="special tokens"):
        LocalEngine(checkpoint).ask(input_for(checkpoint.preprocess), question, sampling=SHORT)


def test_what_stands_before_a_question_stands_before_no_report(checkpoint: Checkpoint) -> None:
    prompt = replace(checkpoint.prompt, before_question="spleen ")
    model_input = input_for(checkpoint.preprocess)
    plain, led = LocalEngine(checkpoint), LocalEngine(replace(checkpoint, prompt=prompt))
    one, other = (engine.report(model_input, SHORT).token_logprobs for engine in (plain, led))
    assert one == other
    asked = led.ask(model_input, "the liver?", ("no", "spleen"), SHORT)
    spelled = plain.ask(model_input, "spleen the liver?", ("no", "spleen"), SHORT)
    assert asked.generation.token_logprobs == spelled.generation.token_logprobs
    assert asked.choices == spelled.choices


def test_the_probability_of_a_choice_is_that_of_its_letter(checkpoint: Checkpoint) -> None:
    model_input = input_for(checkpoint.preprocess)
    answer = LocalEngine(checkpoint).ask(model_input, "the?", ("no", "spleen"), SHORT)
    words = ["the", "?", "Choices", ":", "A", ".", "no", "B", ".", "spleen"]
    prompt = checkpoint.tokenizer.encode("<im_patch>" * 8 + "the? Choices: A. no B. spleen").ids
    assert len(prompt) == 8 + len(words)
    expected = probabilities_after(prompt, ("▁A", "▁B"), checkpoint, model_input)
    assert [c.probability for c in answer.choices] == pytest.approx(expected, abs=1e-5)


def test_a_space_that_is_a_token_of_its_own_stands_before_the_letter(
    checkpoint: Checkpoint,
) -> None:
    words = [*(word.lstrip("▁") for word in WORDS[:-1]), "▁"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Split("▁", "isolated"),
            pre_tokenizers.Punctuation(),
        ]
    )
    tokenizer.add_special_tokens(["<im_patch>", "<eos>", "<unk>"])
    split = replace(checkpoint, tokenizer=tokenizer)
    model_input = input_for(checkpoint.preprocess)
    answer = LocalEngine(split).ask(model_input, "the", ("no", "spleen"), SHORT)
    prompt = tokenizer.encode("<im_patch>" * 8 + "the Choices: A. no B. spleen ").ids
    assert prompt[-1] == words.index("▁")
    expected = probabilities_after(prompt, ("A", "B"), split, model_input)
    assert [c.probability for c in answer.choices] == pytest.approx(expected, abs=1e-5)


def probabilities_after(
    prompt: list[int], letters: tuple[str, ...], checkpoint: Checkpoint, model_input: ModelInput
) -> list[float]:
    with torch.inference_mode():
        model = checkpoint.model
        hidden_states = model.encode_image(torch.from_numpy(model_input.pixels)[None])
        embeddings = model.embed_prompt(torch.tensor([prompt]), model.image_tokens(hidden_states))
        logits = model(embeddings)[0, -1]
    ids = [checkpoint.tokenizer.token_to_id(letter) for letter in letters]
    probabilities: list[float] = logits[ids].softmax(dim=0).tolist()
    return probabilities


def test_samples_share_one_encoding_and_one_reading(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = dict.fromkeys(("encode_image", "embed_prompt"), 0)
    for name in calls:
        count_calls(checkpoint.model, name, calls, monkeypatch)
    drawn = Sampling(max_new_tokens=4, temperature=1)
    samples = LocalEngine(checkpoint).report_samples(input_for(checkpoint.preprocess), 3, drawn)
    assert len(samples) == 3
    assert calls == {"encode_image": 1, "embed_prompt": 1}


def count_calls(
    model: object, name: str, calls: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = getattr(model, name)

    def counted(*arguments: object) -> object:
        calls[name] += 1
        return method(*arguments)

    monkeypatch.setattr(model, name, counted)


QUESTIONS = [("the spleen?", ()), ("the liver?", ("no", "spleen", "liver")), ("describe the", ())]
DRAWN = Sampling(max_new_tokens=6, temperature=1)


@pytest.mark.parametrize("sampling", [SHORT, DRAWN], ids=["greedy", "drawn"])
def test_questions_of_a_batch_are_answered_as_alone(
    checkpoint: Checkpoint, sampling: Sampling
) -> None:
    engine = LocalEngine(checkpoint)
    volumes = [input_for(checkpoint.preprocess, seed) for seed in (1, 2)]
    asked = [Asked(volume, *question) for volume in volumes for question in QUESTIONS]
    together = engine.ask_batch(asked, sampling)
    for one, answer in zip(asked, together, strict=True):
        alone = engine.ask(one.model_input, one.question, one.choices, sampling)
        assert answer.generation.text == alone.generation.text
        assert [c.probability for c in answer.choices] == pytest.approx(
            [c.probability for c in alone.choices], abs=1e-5
        )


def test_a_volume_is_encoded_once_for_all_questions_about_it(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"encode_image": 0}
    count_calls(checkpoint.model, "encode_image", calls, monkeypatch)
    volume = input_for(checkpoint.preprocess)
    LocalEngine(checkpoint).ask_batch([Asked(volume, *q) for q in QUESTIONS], SHORT)
    assert calls == {"encode_image": 1}


def test_each_text_of_a_batch_can_have_its_own_seed(checkpoint: Checkpoint) -> None:
    engine, volume = LocalEngine(checkpoint), input_for(checkpoint.preprocess)
    seeds = range(5)
    alone = [engine.report(volume, replace(DRAWN, seed=seed)).text for seed in seeds]
    reports = engine.report_batch([volume] * 5, DRAWN, seeds=seeds)
    assert [report.text for report in reports] == alone
    assert len(set(alone)) > 1
    answers = engine.ask_batch([Asked(volume, "the?", seed=seed) for seed in seeds], DRAWN)
    asked = [engine.ask(volume, "the?", sampling=replace(DRAWN, seed=seed)) for seed in seeds]
    assert [a.generation.text for a in answers] == [a.generation.text for a in asked]


def test_a_volume_that_is_abstained_from_leaves_the_other_questions_alone(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(checkpoint)
    volumes = [input_for(checkpoint.preprocess, seed) for seed in (1, 2)]
    reasons = iter(["it is unlike any", None])
    monkeypatch.setattr(engine, "_reason_to_abstain", lambda *seen: next(reasons))
    asked = [Asked(volume, *question) for volume in volumes for question in QUESTIONS]
    answers = engine.ask_batch(asked, SHORT)
    assert [a.generation.abstained for a in answers[:3]] == ["it is unlike any"] * 3
    monkeypatch.undo()
    for one, answer in zip(asked[3:], answers[3:], strict=True):
        alone = engine.ask(one.model_input, one.question, one.choices, SHORT)
        assert answer.generation.text == alone.generation.text
