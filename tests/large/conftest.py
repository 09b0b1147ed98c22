"""A small coloured slide, cut into many small blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from large_workshop import Workshop, squares


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    pixels, truth = squares(10, 13)
    np.save(tmp_path / "slide.npy", pixels)
    return Workshop(tmp_path / "slide.npy", tmp_path / "out" / "slide_labels.ome.zarr", truth)
