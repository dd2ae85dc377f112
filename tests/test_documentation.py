"""Links lead somewhere, and what the pages name exists."""

import re
from pathlib import Path

import pytest

from tests.repository import ROOT

PAGES = sorted(
    p
    for p in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("bench/*.md"),
        *ROOT.glob("engine/embedded/*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:plugin|dicom_io|engine|training|reporting|tests|docs|bench)/[\w./-]+)`")
MODULE = re.compile(r"python -m ((?:training|bench)\.[\w.]+)")


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
def test_every_program_that_is_named_exists(page):
    modules = MODULE.findall(page.read_text("utf-8"))
    assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in modules)
