"""Pictures larger than memory, and many of them: blocks, a journal of what is finished, threads or a Dask cluster."""
