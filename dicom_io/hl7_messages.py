"""HL7 v2 messages in files: framing, character sets, separators and escape sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import hl7

# HL7 table 0211
_CODECS = {
    # what calls itself ASCII is often UTF-8, and true ASCII is UTF-8 too
    **dict.fromkeys(("ASCII", "UNICODE UTF-8", "UTF-8"), "utf-8"),
    "UNICODE UTF-16": "utf-16",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859_{part}" for part in (*range(1, 10), 13, 14, 15)},
}
_BATCH = ("FHS", "BHS", "BTS", "FTS")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}$")


@dataclass(frozen=True)
class Separators:
    """The marks of a message (MSH-1 and MSH-2) and how its text is encoded."""

    field: str
    repetition: str
    component: str
    subcomponent: str
    escape: str
    codec: str = "utf-8"

    def unescaped(self, text: str) -> str:
        """Resolve escape sequences (HL7 v2.5.1, 2.7); formatting that breaks no line goes."""
        mark = re.escape(self.escape)
        return re.sub(f"{mark}([^{mark}\r]{{1,200}}){mark}", self._resolved, text)

    def _resolved(self, found: re.Match[str]) -> str:
        sequence = found[1]
        marks = {
            "F": self.field,
            "R": self.repetition,
            "S": self.component,
            "T": self.subcomponent,
            "E": self.escape,
        }
        if sequence in marks:
            return marks[sequence]
        if re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", sequence):
            return bytes.fromhex(sequence[1:]).decode(self.codec, "replace").replace("\r", "\n")
        if re.fullmatch(r"\.(?:br|sp|ce|sk)[+-]?\d*", sequence):
            return "\n"
        known = re.fullmatch(r"[HN]|\.(?:fi|nf|in|ti)[+-]?\d*|[CMZX].*", sequence)
        return "" if known else found[0]


@dataclass(frozen=True)
class Segment:
    """One segment; fields count from 1, as the standard counts them."""

    kind: str
    fields: hl7.Segment = field(repr=False)
    separators: Separators = field(repr=False)

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of a field, as they are encoded; none where it is absent or empty."""
        if number >= len(self.fields):
            return []
        whole = str(self.fields[number])
        return whole.split(self.separators.repetition) if whole.strip() else []

    def components(self, number: int) -> list[str]:
        """The components of the first repetition of a field, as they are encoded."""
        return next(iter(self.repetitions(number)), "").split(self.separators.component)

    def parts(self, value: str) -> list[str]:
        """The components of one repetition, as text."""
        return [
            self.separators.unescaped(part).strip()
            for part in value.split(self.separators.component)
        ]

    def first(self, number: int) -> str:
        """The first component of a field as text: an identifier without its authority."""
        value = self.components(number)[0].partition(self.separators.subcomponent)[0]
        return self.separators.unescaped(value).strip()


@dataclass(frozen=True)
class Message:
    """One message, its segments in order."""

    segments: tuple[Segment, ...] = field(repr=False)

    @property
    def kind(self) -> str:
        """Such as "ORU"."""
        return self.segments[0].first(9)


def messages_in(content: bytes) -> Iterator[Message]:
    """Read the messages of a file: one, several, a batch, or as MLLP frames them.

    A line that begins no segment continues the text before it.

    Raises
    ------
    ValueError, LookupError, hl7.HL7Exception
        It is not what it says.
    """
    codec = _codec(content)
    text = content.decode(codec) if codec else ""
    lines: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text.lstrip("\ufeff").translate(_FRAMES)):
        if line.startswith("MSH"):
            yield from _parsed(lines, codec)
            lines = [line]
        elif lines and line[:3] not in _BATCH:
            if _SEGMENT.match(line[:3]) and line[3:4] in (lines[0][3], ""):
                lines.append(line)
            elif line.strip():
                lines[-1] += f"{lines[0][6:7]}.br{lines[0][6:7]}{line}"
    yield from _parsed(lines, codec)


_FRAMES = dict.fromkeys((0x0B, 0x1C))


def _parsed(lines: list[str], codec: str) -> Iterator[Message]:
    if not lines:
        return
    message = hl7.parse("\r".join(lines))
    _, field_mark, repetition, component, subcomponent = message.separators
    separators = Separators(field_mark, repetition, component, subcomponent, message.esc, codec)
    yield Message(tuple(Segment(str(one[0]), one, separators) for one in message))


def _codec(content: bytes) -> str:
    """The character set of MSH-18; where it says nothing, UTF-8, else Windows-1252."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    start = content.find(b"MSH")
    if start < 0:
        return ""
    header = re.split(rb"[\r\n]", content[start:], maxsplit=1)[0]
    fields = header.split(header[3:4])
    stated = fields[17].partition(b"~")[0].strip().decode("ascii") if fields[17:] else ""
    if stated:
        return _CODECS[stated.upper()]
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
