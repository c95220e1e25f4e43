#!/usr/bin/env bash
# Runs every check; arguments go to pytest: ./run_tests.sh -k memory, ./run_tests.sh -m slow
set -euo pipefail
cd "$(dirname "$0")"

deploy/setup.sh --dev
export PATH="$PWD/.venv/bin:$PATH"

failed=""
step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf '== %s: passed, %d s\n' "$name" $((SECONDS - began))
    else
        printf '== %s: FAILED, %d s\n' "$name" $((SECONDS - began))
        failed="$failed $name,"
    fi
}

step "lint" ruff check .
step "format" ruff format --check .
step "types" mypy --strict ltmc_jobs workers api
step "imports" lint-imports --no-logo
# Most of a test is waiting for processes to start, so two at a time; a file's tests share what they started.
step "tests" python -m pytest -n "${TEST_PROCESSES:-2}" --dist loadfile "$@"

if [ -n "$failed" ]; then
    printf '\nfailed:%s after %d s\n' "${failed%,}" "$SECONDS"
    exit 1
fi
printf '\nall passed in %d s\n' "$SECONDS"
