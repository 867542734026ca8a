"""Scoring in bulk: files in, files out, on one machine or on Spark.

    files → source (parquet, CSV, Delta) → rows (checked) → model (scores) → output (parts, published as a whole)

`job` runs that on one machine, `spark` on a cluster.
"""
