"""Build the embedded model from registry packages and labelled pictures."""
