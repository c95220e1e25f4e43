"""A client's transcript as a dialogue: what is no text costs itself alone."""

from __future__ import annotations

import json
from pathlib import Path

from api import transcript


def test_half_of_a_surrogate_pair_costs_itself_alone(tmp_path: Path) -> None:
    """Clients cut texts anywhere; the rest of the session is stored all the same."""
    file = tmp_path / "session.jsonl"
    said = [
        {"type": "user", "message": {"role": "user", "content": "cut \ud83d here"}},
        {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "whole 😀"}]}},
    ]
    file.write_text("\n".join(map(json.dumps, said)))
    assert transcript.dialogue(file) == "**user:** cut ? here\n\n**assistant:** whole 😀"
    assert transcript.dialogue(file).encode()
