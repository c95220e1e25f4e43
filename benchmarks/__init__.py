"""What the project is measured by; each file is run by itself: python -m benchmarks.NAME --help."""
