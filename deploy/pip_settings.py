"""Prints, for a shell to eval, the user's pip settings as uv's variables: index, links, certificates, proxy."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path

# pip's name → uv's variable, what joins several values
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "keyring-provider": ("UV_KEYRING_PROVIDER", " "),
}


def pip_settings() -> dict[str, str]:
    """What `pip install` would use: the variables win over its files, as they do in pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def links_that_exist(links: str) -> str:
    """pip passes over a folder that is not there; uv stops."""
    return " ".join(link for link in links.split() if "://" in link or Path(link).exists())


def uv_settings(settings: dict[str, str]) -> dict[str, str]:
    """The same in uv's words; a variable that the user has set for uv stays."""
    settings = settings | {"find-links": links_that_exist(settings.get("find-links", ""))}
    wanted = {
        variable: joint.join(settings[name].split()) for name, (variable, joint) in NAMES.items() if settings.get(name)
    }
    if "UV_INDEX" in wanted:
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does; the locks' hashes guard what comes
    return {variable: value for variable, value in wanted.items() if variable not in os.environ}


if __name__ == "__main__":
    for variable, value in uv_settings(pip_settings()).items():
        sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")
