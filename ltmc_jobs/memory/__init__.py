"""The four tiers as one memory."""
