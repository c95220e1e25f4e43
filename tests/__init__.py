"""Tests: run by ./run_tests.sh against a private server, never the machine's."""
