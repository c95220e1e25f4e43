"""Mentions: what a text names outright: addresses, files, people, tags, issues, identifiers. Found by their form."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

MENTIONS_MAX = 64  # of one text: those that it names most often

# fmt: off
FILE_ENDINGS = frozenset((
    "md", "rst", "txt", "pdf", "html", "htm", "csv", "tsv", "json", "jsonl", "yaml", "yml", "toml", "ini", "cfg",
    "conf", "xml", "sql", "py", "pyi", "ipynb", "js", "mjs", "cjs", "ts", "tsx", "jsx", "css", "scss", "vue", "go",
    "rs", "java", "kt", "scala", "c", "h", "cc", "cpp", "hpp", "cs", "rb", "php", "swift", "lua", "r", "jl", "pl", "sh",
    "bash", "ps1", "bat", "tf", "proto", "lock", "log", "tex", "docx", "xlsx", "pptx", "odt", "epub",
))
# Names of standards that have the form of an issue's number.
STANDARDS = frozenset((
    "UTF", "SHA", "ISO", "MD", "RFC", "AES", "RSA", "ASCII", "UCS", "CP", "IEEE", "EN", "DIN", "ANSI", "HTTP", "TLS",
    "SSL", "UTC", "GMT", "COVID",
))
# fmt: on

_ADDRESS = re.compile(r"\bhttps?://[^\s<>\"'`\]]{1,2000}")
_FILE = re.compile(r"(?<![\w./@-])[\w./-]{1,200}\.([A-Za-z]\w{0,6})(?![\w/@-])")
_LINKED = re.compile(r"\[\[([^\[\]|#\n]{1,200})(?:[|#][^\[\]\n]{0,200})?\]\]|\]\(([^()\s#]{1,400})[^()\n]{0,200}\)")
_PERSON = re.compile(r"(?<![\w@./-])@[A-Za-z][\w-]{1,38}(?![\w@])")
_TAG = re.compile(r"(?<![\w#/&])#(?![0-9A-Fa-f]{3}\b|[0-9A-Fa-f]{6}\b)[^\W\d_][\w-]{1,48}")
_ISSUE = re.compile(r"(?<![\w#&/.-])(?:[\w.-]{1,60}/[\w.-]{1,60})?#\d{1,7}\b|\b[A-Z][A-Z0-9]{1,9}-\d{1,7}\b(?!-)")
_IDENTIFIER = re.compile(r"(?<!`)`([A-Za-z_][\w.]{1,100}(?:\(\))?)`(?!`)")


@dataclass(frozen=True, slots=True)
class Mention:
    """Something that a text names, how often, and of what form it is."""

    name: str
    form: str  # address | file | person | tag | issue | identifier
    count: int


def mentions(text: str, *, is_code: bool = False) -> list[Mention]:
    """What a text names, most often named first; `@` and `#` have other meanings in code, and are passed over there."""
    found: Counter[tuple[str, str]] = Counter()

    def take_address(match: re.Match[str]) -> str:
        found[_unpunctuated(match[0]), "address"] += 1
        return " "

    rest = _ADDRESS.sub(take_address, text)  # so that nothing is found within one
    found.update((match[0].removeprefix("./"), "file") for match in _FILE.finditer(rest) if _is_file(match[1]))
    for match in _LINKED.finditer(rest):
        name = (match[1] or match[2]).strip().removeprefix("./")
        if match[1] or not _is_file(name.rpartition(".")[2]):  # else it was found as a file
            found[name, "file"] += 1
    found.update((match[0], "issue") for match in _ISSUE.finditer(rest) if match[0].split("-")[0] not in STANDARDS)
    if not is_code:
        found.update((match[0], "person") for match in _PERSON.finditer(rest))
        found.update((match[0], "tag") for match in _TAG.finditer(rest))
        for match in _IDENTIFIER.finditer(rest):
            if _is_identifier(match[1]):
                found[match[1].removesuffix("()"), "identifier"] += 1
    # Of equals the one that comes first in the text: a counter keeps the order, and so does the sort.
    ordered = sorted(found.items(), key=lambda one: -one[1])
    return [Mention(name, form, count) for (name, form), count in ordered[:MENTIONS_MAX] if name]


def _unpunctuated(address: str) -> str:
    address = address.rstrip(".,;:!?*_")
    while address.endswith(")") and address.count(")") > address.count("("):
        address = address[:-1].rstrip(".,;:!?*_")
    return address


def _is_file(ending: str) -> bool:
    return ending.lower() in FILE_ENDINGS


def _is_identifier(word: str) -> bool:
    """Whether it has the form of a name in a program, and is no plain word and no file."""
    formed = "_" in word.strip("_") or word.endswith("()") or re.search(r"[a-z][A-Z]|\w\.\w", word) is not None
    return formed and not _is_file(word.rpartition(".")[2])
