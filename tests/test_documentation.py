"""Links lead somewhere, what the pages name exists, and every option of every command is there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugin.settings import Settings
from plugin.state.kinds import Kind
from tests.repository import ROOT

SITE = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("engine/embedded/*.md")])
PAGES = sorted([*SITE, *ROOT.glob("*.md"), *ROOT.glob("bench/**/*.md")])
PACKAGES = "plugin|dicom_io|engine|training|reporting"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PATH = re.compile(rf"`((?:{PACKAGES}|tests|docs|bench)/[\w./-]+)`")
DOTTED = re.compile(rf"`((?:{PACKAGES})(?:\.(?!toml)\w+)+)`")
PROGRAM = re.compile(r"python -m ((?:training|bench)(?:\.\w+)+)")
# What a browser fetches by itself; a link that a reader may follow is no such thing
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=.?https?:|<link[^>]+rel=.?stylesheet[^>]+https?:"
)


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_somewhere(page):
    missing = [
        link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_file_that_is_named_exists(page):
    missing = [path for path in PATH.findall(page.read_text("utf-8")) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_module_setting_and_program_that_is_named_exists(page):
    text = page.read_text("utf-8")
    missing = [name for name in DOTTED.findall(text) if not (is_setting(name) or is_code(name))]
    missing += [name for name in PROGRAM.findall(text) if not is_code(name)]
    assert missing == []


@pytest.mark.parametrize("page", SITE, ids=names)
def test_prose_can_be_read_beside_the_code(page):
    too_long = [line for line in prose(page.read_text("utf-8")) if len(line) >= 120]
    assert too_long == []


def test_every_decision_has_a_number_of_its_own():
    numbers = [page.name[:4] for page in ROOT.glob("docs/decisions/[0-9]*.md")]
    assert len(numbers) == len(set(numbers)) > 0


def test_the_runbook_says_of_every_kind_of_event_what_it_means():
    page = (ROOT / "docs" / "missing-draft.md").read_text("utf-8")
    table = page.partition("## Every kind of event")[2]
    described = re.findall(r"^\| `([^`]+)` \| \S", table, re.MULTILINE)
    assert sorted(described) == sorted(Kind)


@pytest.mark.slow
def test_every_option_of_every_command_stands_in_the_docs_as_help_says_it():
    found = subprocess.run(
        [sys.executable, "docs/options.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_fetches_nothing(tmp_path):
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    fetching = [p.name for p in tmp_path.rglob("*.html") if FETCHED.search(p.read_text("utf-8"))]
    assert (tmp_path / "index.html").exists()
    assert fetching == []


def is_code(name: str) -> bool:
    """Tell whether a dotted name is a module, or a name that stands in one."""
    *parents, last = name.split(".")
    module = ROOT.joinpath(*parents)
    if (module / last).is_dir() or (module / f"{last}.py").is_file():
        return True
    file = module.with_suffix(".py")
    return file.is_file() and re.search(rf"\b{last}\b", file.read_text("utf-8")) is not None


def is_setting(name: str) -> bool:
    table, _, key = name.partition(".")
    return hasattr(getattr(Settings(), table, None), key)


def prose(text: str) -> Iterator[str]:
    """Yield the lines that are neither code nor rows of tables nor what a program wrote."""
    text = re.sub(r"<!-- ctscribe.*?<!-- end -->", "", text, flags=re.DOTALL)
    for position, part in enumerate(text.split("```")):
        if position % 2 == 0:
            yield from (line for line in part.splitlines() if not line.lstrip().startswith("|"))
