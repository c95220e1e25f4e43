"""The bodies of the jobs that follow from calls and of those that recur."""
