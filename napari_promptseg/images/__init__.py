"""Images: aligned modalities on one grid, their normalisation, readers and writers."""
