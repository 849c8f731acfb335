"""structnet: neural reasoning over structure."""

__version__ = "0.1.0"
