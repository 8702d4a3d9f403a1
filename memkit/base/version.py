"""The version, for code that cannot wait for importlib.metadata (20 ms)."""

VERSION = "0.1.0"
