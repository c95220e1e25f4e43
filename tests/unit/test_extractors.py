"""Files to text: what each extractor keeps, and the reason when there is nothing to keep."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from pathlib import Path

import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from api import extractors
from api.extractors import Binary, Unreadable, extract


def make_pdf(*pages: str, password: str | None = None, owner_only: bool = False) -> bytes:
    """A PDF with a line of text on each page."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")}
        | {NameObject("/BaseFont"): NameObject("/Helvetica")}
    )
    for line in pages:
        page = writer.add_blank_page(400, 300)
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({line}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password is not None:
        user = "" if owner_only else password
        writer.encrypt(user, owner_password=password, algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        "Grüße – 你好".encode(),
        b"\xef\xbb\xbf" + "Grüße – 你好".encode(),
        "Grüße – 你好".encode("utf-16"),
        b"\xfe\xff" + "Grüße – 你好".encode("utf-16-be"),
        "Grüße – 你好".encode("utf-32"),
    ],
)
def test_text_comes_out_of_every_unicode_encoding_without_its_mark(data: bytes) -> None:
    assert extract("a.md", data) == "Grüße – 你好"
    assert extract("README", data) == "Grüße – 你好"


def test_text_that_is_not_unicode_is_read_as_western_european() -> None:
    assert extract("brief.txt", "Grüße für 5 €".encode("cp1252")) == "Grüße für 5 €"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.md", b"", "empty"),
        ("a.md", b" \n\t ", "no text"),
        ("a.txt", bytes(range(256)) * 4, "encoding"),
        ("a.md", b"\xff\xfe\x00", "encoding"),
        ("a.pdf", b"%PDF-1.7 and then nothing", "damaged"),
        ("a.pdf", b"not a PDF at all", "damaged"),
        ("a.html", b"<html><script>x()</script></html>", "no text"),
    ],
)
def test_a_file_without_text_is_refused_with_the_reason(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        extract(name, data)


def test_an_unknown_suffix_is_text_if_it_is_some_and_binary_otherwise() -> None:
    assert extract("Makefile", b"all:\n\techo\n") == "all:\n\techo\n"
    assert extract("a.unheard-of", b"words") == "words"
    with pytest.raises(Binary):
        extract("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")


def test_a_pdf_gives_its_pages_in_order() -> None:
    assert extract("a.pdf", make_pdf("The first page", "The second page")) == "The first page\n\nThe second page"


def test_an_encrypted_pdf_says_so_unless_reading_is_allowed() -> None:
    with pytest.raises(Unreadable, match="encrypted"):
        extract("a.pdf", make_pdf("secret", password="open sesame"))
    assert extract("a.pdf", make_pdf("no printing", password="owner", owner_only=True)) == "no printing"


def test_a_pdf_of_pictures_says_that_it_needs_ocr() -> None:
    with pytest.raises(Unreadable, match="OCR"):
        extract("scan.pdf", make_pdf(""))


def test_html_gives_title_and_main_text_as_a_browser_would_break_it() -> None:
    page = b"""<html><head><title>All  about
      mirrors</title><style>p {}</style></head><body><nav>Home Shop</nav><main>
      <h1>Mirrors</h1><p>A <b>big</b> mirror\n  is <a href="x">heavy</a>.</p><script>track()</script>
      <ul><li>wash</li><li>coat</li></ul><table><tr><td>size</td><td>60 cm</td></tr></table>
      <pre>a = 1\n    b = 2</pre><!-- hidden --></main><footer>imprint</footer></body></html>"""
    text = extract("a.html", page)
    assert text.startswith("# All about mirrors\n\n# Mirrors\n\nA big mirror is heavy.\n\n")
    assert "- wash\n" in text
    assert "- coat\n" in text
    assert "size 60 cm" in text
    assert "a = 1\n    b = 2" in text
    assert not any(word in text for word in ("Home", "track", "hidden", "imprint", "p {}", "\n\n\n", "\x01"))


def test_html_says_its_own_encoding() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body>Zażółć gęślą jaźń</body></html>'
    assert "Zażółć gęślą jaźń" in extract("a.htm", page.encode("iso-8859-2"))


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 100_000 + "words",
        "words" + "<b><i></b>" * 50_000,
        "words" + "<p><li>" * 70_000,
        "words" + "</div>" * 80_000,
        "words<main>" * 40_000 + "</main>" * 20_000,
        "words" + "<!--" * 120_000,
        "words" + "<a " * 150_000,
        "words" + "<![" * 150_000,
        "words" + "<" * 500_000,
        "words" + "</" * 250_000,
        "words" + "&" * 500_000,
        "words" + "<a b='" * 80_000,
        "<pre>" + "\n" * 500_000 + "words",
    ],
    ids=lambda page: page[:12],
)
def test_no_html_takes_more_than_its_length_deserves(page: str) -> None:
    """500 kB of one thing in another."""
    began = time.process_time()
    with suppress(Unreadable):  # or refused, for a nesting that no page has
        assert "words" in extract("a.html", page.encode())
    assert time.process_time() - began < 2


def test_html_that_leaves_out_end_tags_is_read_all_the_same() -> None:
    assert extract("a.html", b"<head><title>Owls<body><p>Owls see<p>at night") != ""
    text = extract("a.html", b"<head><title>Owls</title><body><nav>Home</nav><ul><li>barn<li>snowy</ul><p>all")
    assert text == "# Owls\n\n- barn\n\n- snowy\n\nall"


def test_source_code_is_told_from_documents() -> None:
    assert extractors.resource_type("src/a.PY") == "code"
    assert extractors.resource_type("src/a.md") == "document"
    assert extract("a.py", b"x = 1\n") == "x = 1\n"


def test_every_file_of_this_repository_is_read_or_refused_with_a_reason() -> None:
    root = Path(__file__).parents[2]
    for path in [*root.glob("*.*"), *root.glob("docs/*"), *root.glob("api/demo/*")]:
        if path.is_file():
            assert extract(path.name, path.read_bytes())
