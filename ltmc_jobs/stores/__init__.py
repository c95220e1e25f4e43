"""One file a backend: <role>_<backend>.py, one contract file, one test suite for all."""
