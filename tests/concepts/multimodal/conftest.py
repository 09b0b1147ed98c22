"""A picture with a region, a server, and no key in the environment."""

from __future__ import annotations

import numpy as np
import pytest
from endpoint_server import serving

from napari_promptseg.concepts.description import describe_region
from napari_promptseg.images.stack import ImageStack


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    """Neither variables nor the keyring of whoever runs the tests."""
    import napari_promptseg.concepts.multimodal.keys as keys

    for name in ("PROMPTSEG_VLM_KEY", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(keys, "_from_keyring", lambda origin: None)


@pytest.fixture
def server():
    with serving() as running:
        yield running


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
