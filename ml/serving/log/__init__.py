"""The prediction log: from a request that must not wait to parquet in the store."""
