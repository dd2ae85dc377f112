"""What the product imports, pyproject declares: in the base, or in the extra of its room."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("plugin", "dicom_io", "engine", "training", "reporting")
MODULES = sorted(
    path
    for name in PACKAGES
    for path in (ROOT / name).rglob("*.py")
    if "node_modules" not in path.parts
)
# Where a library may come from an extra; everywhere else only from the base
ROOMS = {
    "reporting/forms": ("forms",),
    "plugin/delivery/mllp.py": ("forms",),
    "plugin/upkeep/orders": ("forms",),
    "dicom_io/hl7_messages.py": ("forms",),
    "plugin/web/access/directories.py": ("oidc",),
    "training": ("training",),
    "training/evaluation": ("evaluation",),
    "training/site": ("site", "recognizer"),
    "engine/checkpoints/tokenizer_files.py": ("lamed",),
    "engine/inference/quantization.py": ("quantization",),
    "engine/serving/ray_serve.py": ("serving",),
}
# Orthanc brings the module to the plugin that it runs. Whoever wants another group's metric brings
# its package: their pins do not go with ours
ELSEWHERE = {"orthanc", "radgraph", "RaTEScore", "CRIMSON", "green_score"}
# Needed by a library, or found by name, and never imported here
UNSEEN = {
    "fontpkg-noto-sans": "reporting/forms/pdf.py opens its file",
    "itsdangerous": "starlette's sessions sign with it",
    "noto-cjk-sans-otc": "reporting/forms/pdf.py opens its file",
    "protobuf": "transformers reads sentencepiece's files with it",
    "psycopg": "SQLAlchemy, for a URL of PostgreSQL",
    "pylibjpeg": "pydicom decodes with it",
    "pylibjpeg-openjpeg": "pydicom decodes with it",
    "tensorboard": "accelerate logs to it",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(Requirement(line).name) for line in requirements}


BASE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports from other packages."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        else:
            continue
        yield from {name.partition(".")[0] for name in names}


@cache
def installed() -> Mapping[str, list[str]]:
    """Return the distributions that bring a module, by its name; this reads every one's files."""
    return packages_distributions()


def distributions(path: Path) -> set[str]:
    foreign = set(imported(path)) - sys.stdlib_module_names - {*PACKAGES} - ELSEWHERE
    return {normal(installed()[module][0]) for module in foreign}


def extras_of(path: Path) -> set[str]:
    name = path.relative_to(ROOT).as_posix()
    rooms = [extras for room, extras in ROOMS.items() if f"{name}/".startswith(f"{room}/")]
    return {library for extras in rooms for extra in extras for library in EXTRAS[extra]}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_module_imports_is_declared_where_it_may_be(path):
    assert distributions(path) - BASE - extras_of(path) == set()


def test_what_is_declared_is_needed():
    needed = {name for path in MODULES for name in distributions(path)} | set(UNSEEN)
    runtime = set().union(*(EXTRAS[name] for name in bundled()))
    assert (BASE | runtime) - needed == set()


def test_the_extra_all_is_every_extra_of_the_product():
    # vLLM names the one version of torch that it goes with, and may run in another environment
    assert bundled() == set(EXTRAS) - {"all", "bench", "test", "docs", "vllm"}


def bundled() -> set[str]:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    return Requirement(everything).extras


def test_every_package_is_typed():
    assert all((ROOT / name / "py.typed").is_file() for name in PACKAGES)


def test_the_page_installs_a_host_without_torch_with_all_but_the_model_s_libraries():
    page = (ROOT / "docs" / "service.md").read_text("utf-8")
    command = page.split("pip install --no-deps ctscribe")[1].split("```")[0]
    named = declared([word for word in command.split() if word[0].isalpha() and word not in SHELL])
    assert named == BASE - {"torch", "transformers", "tokenizers", "huggingface-hub"}


SHELL = {"pip", "install"}
