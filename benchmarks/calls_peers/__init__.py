"""What stands beside the platform in `benchmarks.calls`, and what all of them are asked with."""
