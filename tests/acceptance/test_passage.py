"""Out, in, and gone, against a running platform: `ltmc export-memory`, `import-memory`, `forget-memory`."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Platform
from tests.acceptance.front import redis_of, store, web_of
from tests.passage.test_sources import API, GRAPH


def run(platform: Platform, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = platform.ltmc(*arguments, "--json")
    assert done.returncode == code, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_out_in_and_gone(platform: Platform, tmp_path: Path) -> None:
    """What was exported is searchable where it was imported, and nothing of what was forgotten is found or cached."""
    file = tmp_path / "memory.jsonl"
    asked = {"query": "Which bird builds with moss?"}
    with web_of(platform.url, headers={"X-LTMC-Project": "leaving"}) as web:
        store(web, "wren.md", content="The wren builds its nest of moss.", wait_for="linked", conversation_id="birds")
        said = {"conversation_id": "birds", "role": "user", "content": "A wren!"}
        assert web.post("/tools/log_chat", json=said).status_code == 200
        page = web.post("/tools/export_memory", json={"limit": 1}).json()
        assert (page["success"], page["count"], page["totals"]["messages"]) == (True, 1, 1)
    assert run(platform, "export-memory", file, "--project", "leaving")["counts"] == {"document": 1, "message": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "is there already" in platform.ltmc("export-memory", file).stderr

    file.write_text(file.read_text() + '{"kind": "poem"}\n{"kind": \n')
    done = run(platform, "import-memory", file, "--project", "coming", code=1)
    assert (done["documents"], done["messages"], done["unchanged"]) == (1, 1, 0)
    assert [one["place"] for one in done["refused"]] == ["line 3", "line 4"]
    assert "not JSON" in done["refused"][1]["reason"]
    with web_of(platform.url, headers={"X-LTMC-Project": "coming"}) as web:
        found = web.post("/tools/retrieve_memory?wait=45", json=asked).json()
        assert [hit["file_name"] for hit in found["retrieved_chunks"]] == ["wren.md"]
        with redis_of(platform) as connection:
            assert [*connection.scan_iter("ltmc:1:coming:cache:*", count=10_000)]
            gone = web.post("/tools/forget_memory?wait=45", json={"conversation_id": "birds"}).json()
            assert (gone["documents"], gone["messages"], gone["success"]) == (1, 1, True)
            assert gone["cached"] >= 1
            assert [*connection.scan_iter("ltmc:1:coming:cache:*", count=10_000)] == []
        assert web.post("/tools/retrieve_memory?wait=45", json=asked).json()["retrieved_chunks"] == []
        assert web.post("/tools/forget_memory", json={}).status_code == 422


def test_from_other_memories(platform: Platform, tmp_path: Path) -> None:
    """A folder of notes and a knowledge graph: documents and the links between them; again, nothing new."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "api.md").write_text(API)
    (tmp_path / "notes" / "spec.md").write_text("---\ntitle: API Specification\n---\nAll of it.\n")
    graph = tmp_path / "memory.jsonl"
    graph.write_text("\n".join(map(json.dumps, GRAPH)))
    first = run(platform, "import-memory", tmp_path / "notes", "--project", "foreign")
    assert (first["documents"], first["links"]) == (2, 5)
    assert run(platform, "import-memory", tmp_path / "notes", "--project", "foreign")["unchanged"] == 7
    assert run(platform, "import-memory", graph, "--project", "foreign")["links"] == 1
    with web_of(platform.url, headers={"X-LTMC-Project": "foreign"}) as web:
        for entity, expected in (("api.md", ("implements", "spec.md")), ("Ada", ("works on", "Engine"))):
            found = web.post("/tools/query_graph?wait=45", json={"entity": entity}).json()
            shown = [(one["relationship_type"], one["target_id"]) for one in found["relationships"]]
            assert expected in shown
