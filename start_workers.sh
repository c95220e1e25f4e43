#!/usr/bin/env bash
# Starts the platform; on a fresh machine it first installs what that needs.
set -euo pipefail
case "${LTMC_HOME:-/}" in
    /* | "~"*) ;;
    *) export LTMC_HOME="$PWD/$LTMC_HOME" ;; # as its user means it, who is not in the checkout
esac
if [ -n "${LTMC_TOOLS:-}" ]; then # its files too are where its user is
    named=
    IFS=, read -ra entries <<<"$LTMC_TOOLS"
    for entry in "${entries[@]}"; do
        entry="${entry#"${entry%%[! ]*}"}"
        case "$entry" in
            /* | "~"*) ;;
            *.py | *.py\ * | */*) entry="$PWD/$entry" ;;
        esac
        named="$named,$entry"
    done
    export LTMC_TOOLS="${named#,}"
fi
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
Usage: ./start_workers.sh [COMMAND] [OPTIONS]

Starts Redis, the API (http://localhost:5050), the workers, the scheduler and the dashboard, waits until
all is healthy, and says what runs where. The first time it installs what that needs into .venv.

Commands:
  start             everything, until Ctrl-C (the default)
  start --detach    everything, in the background
  stop              stop it: running jobs are finished, then all of it ends
  status            what runs where; exit code 0 healthy, 1 not healthy, 3 not running
  workers           workers alone, on another host, against REDIS_URL
  scheduler         the scheduler alone, against REDIS_URL
  COMMAND --help    more about each

Environment, the most asked for:
  LTMC_HOME       where all data is           the user's data folder
  HTTP_HOST       address of the API          localhost
  HTTP_PORT       port of the API             5050
  REDIS_URL       a Redis of your own         an embedded one is started
  REDIS_PORT      port of the embedded one    6381
  LTMC_WORKERS    default-queue processes     4
  NEO4J_URI       a graph of your own         the graph is kept in SQLite
  LTMC_TOOLS      files with your own tools   none
  LTMC_DASHBOARD  0: no dashboard             1
  LTMC_TORCH      0: install no torch, cuda: with the CUDA libraries
  PYTHON          the Python to install with  the newest found, 3.11 or later
TEXT
}

case "${1:-start}" in
    -h | --help | help) usage; exit 0 ;;
    -*) set -- start "$@" ;;
esac
[ $# -gt 0 ] || set -- start

# What was never installed does not run: no reason to install it now.
if [ ! -f .venv/.setup-run ]; then
    case "$1" in
        stop) echo "not running"; exit 0 ;;
        status) echo "not running, and not installed yet; start it with ./start_workers.sh"; exit 3 ;;
    esac
fi

deploy/setup.sh
exec .venv/bin/python -m workers "$@"
