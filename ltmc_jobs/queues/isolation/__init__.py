"""Jobs in a process of their own: one warm child, behind a socket, that may crash or be killed alone."""
