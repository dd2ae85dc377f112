"""What mkdocs cannot say in its settings: every decision stands in the navigation."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> None:
    """Add the pages of docs/decisions, in order of their numbers."""
    pages = sorted(Path(config.docs_dir, "decisions").glob("[0-9]*.md"))
    (decisions,) = (entry["Decisions"] for entry in config.nav if "Decisions" in entry)
    decisions.extend(f"decisions/{page.name}" for page in pages)
