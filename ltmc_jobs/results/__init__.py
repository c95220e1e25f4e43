"""What tools answer: one file a family, one dataclass a result; the same in every protocol."""
