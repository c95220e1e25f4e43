"""Files to text: one function a kind of file, chosen by suffix; Unreadable says why there is none."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath

CODE = (
    *(".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".go", ".rs", ".c", ".h"),
    *(".cc", ".cpp", ".hpp", ".cs", ".swift", ".m", ".rb", ".php", ".pl", ".lua", ".r", ".jl", ".ex", ".exs", ".erl"),
    *(".hs", ".clj", ".dart", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".sql", ".proto", ".cmake", ".tf", ".css"),
    *(".scss", ".vue", ".svelte"),
)
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Unreadable(Exception):
    """There is no text to be had from this file, for the reason given."""


class Binary(Unreadable):
    """The file holds no text, and its name does not promise any."""


def extract(name: str, data: bytes) -> str:
    """The text of a file, by its suffix; one of an unknown suffix is taken as text if it is some."""
    if not data:
        raise Unreadable("it is empty")
    function = EXTRACTORS.get(PurePath(name).suffix.lower(), _unknown)
    text = function(data).replace("\x00", "")
    if not text.strip():
        raise Unreadable("there is no text in it")
    return text


def resource_type(name: str) -> str:
    """`code` or `document`."""
    return "code" if PurePath(name).suffix.lower() in CODE else "document"


def plain(data: bytes) -> str:
    """Text in UTF-8, in UTF-16 or UTF-32 with its mark, else in Western European (cp1252)."""
    encoding = next((encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    for candidate in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            text = data.decode(candidate)
        except UnicodeDecodeError:
            continue
        if len(CONTROLS.findall(text)) * 100 <= len(text):
            return text
    raise Unreadable("its name promises text, but it holds none in an encoding that can be told")


def pdf(data: bytes) -> str:
    """The pages' text, an empty line between them."""
    import pypdf
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each oddity of each file
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Many are locked against printing alone: those open with the empty password.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("the PDF is encrypted; save it without a password")
        pages = [page.extract_text() for page in reader.pages]
    except (Unreadable, MemoryError):
        raise
    except DependencyError as error:
        raise Unreadable(f"the PDF is encrypted in a way that needs more: {error}") from None
    except PyPdfError as error:
        raise Unreadable(f"the PDF is damaged: {error}") from None
    except Exception as error:  # a damaged PDF ends in almost any of them
        raise Unreadable(f"the PDF is damaged: {type(error).__name__}: {error}") from None
    text = "\n\n".join(page.strip() for page in pages)
    if not text.strip():
        raise Unreadable(f"no text in its {len(pages)} pages; scanned ones need OCR first")
    return text.encode("utf-8", "replace").decode()  # broken font tables give lone surrogates


def html(data: bytes) -> str:
    """The title, then the main text: a paragraph stays one, headings are marked with #, lists and rows are lines."""
    from api import html_text

    try:
        return html_text.text_of(_markup(data))
    except html_text.TooDeep as error:
        raise Unreadable(str(error)) from None


def _markup(data: bytes) -> str:
    """Decoded as the page itself says, if that is true, else as any text."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True) or ""
    if re.match(r"iso-?8859|windows-|cp\d|koi8|gb|big5|euc|shift|sjis|mac", declared, re.I):
        with suppress(LookupError, UnicodeDecodeError):
            return data.decode(declared)
    return plain(data)


def _unknown(data: bytes) -> str:
    if b"\x00" in data[:8192] and not data.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        raise Binary("a binary file")
    try:
        return plain(data)
    except Unreadable:
        raise Binary("a binary file") from None


EXTRACTORS: dict[str, Callable[[bytes], str]] = {
    **dict.fromkeys(CODE, plain),
    **dict.fromkeys((".md", ".markdown", ".txt", ".rst", ".adoc", ".org", ".tex", ".log", ".csv", ".tsv"), plain),
    **dict.fromkeys((".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml", ".srt", ".vtt"), plain),
    **dict.fromkeys((".html", ".htm", ".xhtml"), html),
    ".pdf": pdf,
}
