"""The files that a table is made of, in a folder or a Delta table, partitioned or not."""
