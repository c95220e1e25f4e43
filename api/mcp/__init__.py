"""MCP: the tools as a model's host sees them, each call a job."""
