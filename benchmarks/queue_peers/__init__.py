"""The queues that benchmarks/queues.py compares: a file for each system, and what they are measured with."""
