"""Market data on disk: files read in chunks, checked, and kept as partitioned Parquet with sealed splits."""
