"""The one version of the Pulumi engine; pyproject.toml pins the SDK to the same, a test compares them."""

__all__ = ["VERSION"]

VERSION = "3.259.0"
