"""The query of a QIDO-RS request (PS3.18 8.3.4 and 10.6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plugin.web.dicomweb.metadata import tag_of
from plugin.web.dicomweb.problems import Refused

LARGEST_PAGE = 1000
"""No answer lists more; a warning tells that there are others."""
_OPTIONS = frozenset(("limit", "offset", "fuzzymatching", "includefield"))


@dataclass
class Query:
    """What is asked for, by tags of eight hex digits."""

    wanted: dict[str, str] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    every_field: bool = False
    limit: int = LARGEST_PAGE
    offset: int = 0
    fuzzy: bool = False

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Query:
        """Read the parameters of a request.

        Raises
        ------
        Refused
            One names no attribute, or has a value that it cannot have.
        """
        query = cls()
        for name, value in parameters:
            if name in _OPTIONS:
                query._set(name, value)
            else:
                query.wanted[_tag(name)] = value
        return query

    def _set(self, name: str, value: str) -> None:
        if name == "includefield":
            names = {one for one in value.split(",") if one}
            self.every_field |= "all" in names
            self.fields |= {_tag(one) for one in names - {"all"}}
        elif name == "fuzzymatching":
            self.fuzzy = value == "true"
        elif not value.isdecimal() or len(value) > 9:
            raise Refused(400, "bad-query", f"{name} is a whole number")
        elif name == "limit":
            self.limit = min(int(value), LARGEST_PAGE)
        else:
            self.offset = int(value)


def _tag(name: str) -> str:
    tag = tag_of(name)
    if tag is None:
        # Not quoted: whatever was typed may be a patient's name
        raise Refused(400, "unknown-attribute", "a parameter is no attribute's keyword or tag")
    return tag
