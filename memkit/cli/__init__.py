"""The commands ``memkit`` and ``memkit-run``."""
