"""A terminal for a command to print on."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence


def screen_of(command: Sequence[str], env: Mapping[str, str], columns: int = 120) -> str:
    """What it prints where somebody looks, without the colours."""
    main, side = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as display:
        process = subprocess.Popen(command, env={**env, "COLUMNS": str(columns)}, stdin=side, stdout=side, stderr=side)
        os.close(side)
        text = b""
        try:
            while chunk := display.read(4096):
                text += chunk
        except OSError:  # Linux's way of saying that the other side has gone
            pass
        process.wait(20)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode())
