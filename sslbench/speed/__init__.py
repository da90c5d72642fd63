"""What ``sslbench speed`` measures on this machine: cases, alternating timings, records, tables."""
