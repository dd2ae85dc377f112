"""The page "fine-tune in ten commands", command by command, on phantoms and the embedded model."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine import load_engine
from plugin.cli import main
from plugin.settings import load_settings
from training.data.phantoms.text import report_text
from training.recipe.recipe import load_recipe

PAGE = Path(__file__).parents[2] / "docs" / "fine-tune.md"
STUDIES = 10
# A person's part, and what an installation needs
NOT_HERE = ("pip ", "ctscribe prepare review")
# The run itself in seconds: the page says what it is made for
TINY = {
    "ctscribe prepare site": ["--no-search-pixels", "--accept-all", "--held-out", "0.3"],
    "ctscribe train finetune": [
        *("--set", "finetune.epochs=1", "--set", "finetune.global_batch=2"),
        *("--set", "finetune.quantization=none", "--set", 'finetune.data=["reports"]'),
        *("--set", "run.precision=fp32", "--set", "run.workers=0"),
        *("--set", "run.validate_every=1", "--set", "finetune.max_tokens=200"),
        *("--compare", "2"),
    ],
}


def commands() -> list[str]:
    """The commands of the page."""
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return block.splitlines()


def archive(folder: Path) -> tuple[Path, Path]:
    """Phantoms as a hospital's studies, with a table of their reports in words that were taught."""
    table = folder / "reports.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["accession", "patient_id", "text"])
        for seed in range(STUDIES):
            phantom = make_phantom(seed, matrix=48)
            write_study(phantom, folder / "archive" / str(seed))
            text = report_text(phantom.truth, np.random.default_rng(seed))
            writer.writerow([f"P{seed}", f"PHANTOM-{seed}", text])
    return folder / "archive", table


def invoked(command: str) -> Result:
    name, *words = shlex.split(command)
    assert name == "ctscribe"
    more = next((more for begin, more in TINY.items() if command.startswith(begin)), [])
    return CliRunner().invoke(main, [*words, *more])


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, dict[str, Result]]:
    """The folder after all commands, and what each has said."""
    folder = tmp_path_factory.mktemp("fine-tune")
    studies, table = archive(folder)
    names = {
        "ARCHIVE": str(studies),
        "REPORTS": str(table),
        "MODEL": "embedded",
        "STORE": str(folder / "store"),
        "RUN": str(folder / "run"),
        "STUDY": str(studies / "1"),
        "OUT": str(folder / "out"),
    }
    said = {}
    for command in commands():
        if not command.startswith(NOT_HERE):
            spelled = re.sub(r"\b[A-Z]{3,}\b", lambda m: names[m.group()], command)
            said[command] = invoked(spelled)
    return folder, said


def test_the_page_has_ten_commands():
    assert len(commands()) == 10
    assert PAGE.read_text("utf-8").count("\n| 1") == 2  # 1 and 10 in the table


def test_every_command_of_the_page_ends_well(done):
    _, said = done
    failed = {command: one.output for command, one in said.items() if one.exit_code}
    assert failed == {}


def test_the_result_has_a_name_and_the_best_weights(done):
    folder, _ = done
    identity = load_engine(folder / "run" / "checkpoint").identity
    assert re.fullmatch(r"site-finetune-[0-9a-f]{8}", identity.name)
    best = json.loads((folder / "run/states/finetune/best.json").read_text("utf-8"))
    assert best["figures"]["loss"] > 0


def test_a_comparison_of_before_and_after_ends_the_run(done):
    folder, _ = done
    text = (folder / "run/comparison/comparison.md").read_text("utf-8")
    for said in ("after minus before, in pairs, 2 items", "## Before", "## After", "strict F1"):
        assert said in text


def test_the_result_is_served_by_one_line(done, tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    folder, _ = done
    config = tmp_path / "ctscribe.toml"
    config.write_text(block.replace("RUN", str(folder / "run")))
    assert load_engine(load_settings(config).engine.model).identity.name.startswith("site-finetune")


def test_words_that_the_model_does_not_know_are_refused_before_training(done, tmp_path):
    folder, _ = done
    store = tmp_path / "store"
    (folder / "store").rename(store)
    texts = store / "texts.jsonl"
    lines = [json.loads(line) for line in texts.read_text("utf-8").splitlines()]
    kept = "".join(
        json.dumps({**line, "text": f"{line['text']} Peribronchial cuffing number {n}."}) + "\n"
        for n, line in enumerate(lines)
    )
    texts.write_text(kept, "utf-8")
    run = tmp_path / "run"
    command = f"ctscribe train finetune --recipe site --model embedded --data {store} --out {run}"
    refused = invoked(command)
    store.rename(folder / "store")
    assert refused.exit_code == 1
    assert "are unknown to the model's tokenizer, such as" in refused.output
    assert not (run / "checkpoint").exists()


def test_a_recipe_takes_after_its_model_what_it_does_not_say():
    engine = load_engine("embedded")
    from engine import EMBEDDED

    taken = load_recipe("site", model=str(EMBEDDED))
    assert taken.preprocess_spec == engine.preprocess
    assert taken.finetune is not None
    assert taken.finetune.report_wordings == ("Write the report of this study.",)
    assert load_recipe("site").preprocess_spec.size == (128, 256, 256)
