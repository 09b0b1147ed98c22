"""The napari dock widget; the only place that imports napari and Qt."""
