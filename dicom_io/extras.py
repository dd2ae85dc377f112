"""What to install where a library is missing: the one place that turns it into a pip command.

The extras are read from the installed package itself, so that `pyproject.toml` stays their list.
"""

from __future__ import annotations

import re
from importlib.metadata import requires

PACKAGE = "ctscribe"

# Libraries that are not imported by the name they are installed by
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "dicomanonymizer": "dicom-anonymizer",
    "fhir": "fhir.resources",
    "fpdf": "fpdf2",
    "gdcm": "python-gdcm",
}
# 'ray[serve]>=2.60; extra == "serving"' of the metadata (PEP 508)
_REQUIREMENT = re.compile(r"([\w.-]+)[^;]*(?:;.*\bextra\s*==\s*[\"']([\w-]+)[\"'])?")


def install_hint(error: ModuleNotFoundError) -> str | None:
    """Return one line that names the missing library and the pip command that brings it.

    None if the package asks for no such library: then it is no matter of an installation.
    """
    module = (error.name or "").partition(".")[0]
    distribution = _DISTRIBUTIONS.get(module, module)
    extras = _extras()
    if (name := _normal(distribution)) not in extras:
        return None
    extra = extras[name]
    wanted = f"'{PACKAGE}[{extra}]'" if extra else PACKAGE
    return f"{distribution} is not installed: pip install {wanted}"


def _extras() -> dict[str, str]:
    """Map every library that the package asks for to the extra that brings it, or to ""."""
    matches = (_REQUIREMENT.match(line) for line in requires(PACKAGE) or ())
    named = [(_normal(match[1]), match[2] or "") for match in matches if match]
    # of several that bring a library the first one counts; `all` only names the package itself
    return {name: extra for name, extra in reversed(named) if name != PACKAGE}


def _normal(name: str) -> str:
    """Return a name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
