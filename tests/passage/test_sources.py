"""Other memories' files as records: MCP's reference memory server, and Basic Memory's notes."""

from __future__ import annotations

import json
from pathlib import Path

from api.passage.sources import records_of

GRAPH = [
    {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["Likes tea", "Speaks French"]},
    {"type": "relation", "from": "Ada", "to": "Engine", "relationType": "works on"},
    {"type": "entity", "name": "Engine", "entityType": "", "observations": []},
]
API = """---
title: API Design
type: Decision
tags: [api, design]
permalink: specs/api-design
created: 2026-03-05
---

# API Design

REST, as said in [[Meeting 3#later|the meeting]].

- [decision] Use REST #api (for now)
- [ ] ask the team

## Relations
- implements [[API Specification]]
- depends_on [[Auth]] (not yet written)
- [[other]]
- This is a whole sentence about things that leads on and on and on towards [[other]].

```
- hidden [[in code]]
```
"""


def test_entities_become_documents_and_relations_links(tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    file.write_text("\n".join(map(json.dumps, GRAPH)) + "\n\n{half\n")
    found = list(records_of(file))
    assert [where for where, _ in found] == ["line 1", "line 2", "line 3", "line 5"]
    ada, works, engine, half = (record for _, record in found)
    assert ada == {
        "kind": "document",
        "file_name": "Ada",
        "content": "# Ada\n\nKind: person\n\n- Likes tea\n- Speaks French\n",
        "resource_type": "entity",
    }
    assert works == {"kind": "link", "source": "Ada", "relation": "works on", "target": "Engine"}
    assert engine["content"] == "# Engine\n"
    assert half.startswith("not JSON: ")


def test_notes_become_documents_and_wiki_links_links(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / ".obsidian").mkdir()
    (tmp_path / ".obsidian" / "left.md").write_text("out")
    (tmp_path / "specs" / "api.md").write_text(API)
    (tmp_path / "specs" / "spec.md").write_text("---\ntitle: API Specification\n---\nAll of it.\n")
    (tmp_path / "meeting.md").write_text("---\ntitle: Meeting 3\nbroken: [\n---\nWe met.\n")
    (tmp_path / "Other.md").write_text("\ufeff# Other\n")
    (tmp_path / "latin.md").write_bytes(b"B\xe4r")
    found = list(records_of(tmp_path))
    documents = {record["file_name"]: record for _, record in found if isinstance(record, dict) and "content" in record}
    assert documents.keys() == {"specs/api.md", "specs/spec.md", "meeting.md", "Other.md"}
    api = documents["specs/api.md"]
    assert (api["resource_type"], api["created_at"]) == ("Decision", "2026-03-05")
    assert api["content"].startswith("# API Design\n\nREST")
    assert api["content"].endswith("Tags: api, design\n")
    assert documents["specs/spec.md"]["content"] == "# API Specification\n\nAll of it.\n"
    assert documents["specs/spec.md"]["resource_type"] == "note"
    assert documents["meeting.md"]["content"].startswith("---\n"), "what is no YAML stays in the text"
    links = {(r["relation"], r["target"], r["target_kind"]) for _, r in found if isinstance(r, dict) and "target" in r}
    assert links == {
        ("links_to", "Meeting 3", "entity"),  # its front matter could not be read
        ("implements", "specs/spec.md", "document"),
        ("depends_on", "Auth", "entity"),
        ("relates_to", "Other.md", "document"),
        ("links_to", "Other.md", "document"),
    }
    (broken,) = [(where, record) for where, record in found if isinstance(record, str)]
    assert broken[0] == "latin.md"
    assert "cannot be read" in broken[1]


def test_a_line_that_is_nested_without_end_stops_no_other(tmp_path: Path) -> None:
    """Nor does one whose text is half of a surrogate pair."""
    file = tmp_path / "memory.jsonl"
    good = '{"kind": "document", "file_name": "\\u00e9.md", "content": "\\ud83d\\ude00"}'
    file.write_text("\n".join(["[" * 100_000, '{"kind": "document", "content": "\\ud83d"}', good]))
    deep, half, whole = (record for _, record in records_of(file))
    assert deep.startswith("not JSON of ours")
    assert half.startswith("not JSON")
    assert whole == {"kind": "document", "file_name": "é.md", "content": "😀"}
