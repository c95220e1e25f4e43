"""LTMC Jobs: what a tool, a job, a key, an error and a memory is."""

__version__ = "0.1.0"
