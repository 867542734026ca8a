"""Databricks, as far as it is the same on every cloud; a cloud adds the workspace and its way to the store."""
