"""What mkdocs cannot say in its settings: every decision stands in the navigation."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> None:
    """Add the pages of docs/decisions, with their numbers, by which other pages call them."""
    pages = sorted(Path(config.docs_dir, "decisions").glob("[0-9]*.md"))
    (decisions,) = (entry["Decisions"] for entry in config.nav if "Decisions" in entry)
    decisions.extend({titled(page): f"decisions/{page.name}"} for page in pages)


def titled(page: Path) -> str:
    title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
    return f"{int(page.name[:4])}. {title}"
