"""A picture with a region, and no key in the environment."""

from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.concepts.description import describe_region
from napari_promptseg.images.stack import ImageStack


@pytest.fixture(autouse=True)
def _alone(no_keys):
    """Every test here is without keys."""


@pytest.fixture
def disc():
    """A mask in the upper left of a plane of (90, 120)."""
    y, x = np.mgrid[:90, :120]
    return (y - 18) ** 2 + (x - 20) ** 2 <= 9**2


@pytest.fixture
def stack(disc):
    """A bright disc on a grey picture."""
    return ImageStack.from_array(np.where(disc, 200, 60).astype(np.uint8), name="secret-patient-name.png")


@pytest.fixture
def concept(stack, disc):
    return describe_region(stack, disc, name="polyp")
