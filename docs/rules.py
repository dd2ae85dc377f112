"""Measure the rules of de-identification; write the figures for the data card and for the page."""

import json
import re
from dataclasses import asdict
from pathlib import Path

from training.site.redaction.measured import measure, table

PAGE = Path(__file__).with_name("deidentification.md")
FIGURES = Path(__file__).parents[1] / "training/site/redaction/measured.json"
BLOCK = re.compile(r"<!-- ctscribe prepare rules -->\n.*?<!-- end -->", re.DOTALL)

if __name__ == "__main__":
    scores = measure()
    FIGURES.write_text(json.dumps({name: asdict(one) for name, one in scores.items()}, indent=1))
    lines = "\n".join(("<!-- ctscribe prepare rules -->", *table(scores), "<!-- end -->"))
    PAGE.write_text(BLOCK.sub(lines, PAGE.read_text("utf-8")), "utf-8")
