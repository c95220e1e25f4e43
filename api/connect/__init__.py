"""`ltmc connect`: this memory in the configuration of an MCP client, shown first and undone exactly."""
