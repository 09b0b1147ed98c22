"""Every picture offered under File > Open Sample opens from the installed files alone."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_promptseg import samples
from napari_promptseg.resource_files import resource

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTIONS = PluginManifest.from_file(ROOT / "napari.yaml").contributions
KEYS = [s.key for s in CONTRIBUTIONS.sample_data or []]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a sample asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("key", KEYS)
def test_sample_opens_in_napari_with_scale_and_units(key: str) -> None:
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    viewer = ViewerModel()
    layers = viewer.open_sample("napari-promptseg", key)
    assert layers
    for layer in layers:
        assert layer.data.size > 0
        assert len(layer.scale) == layer.ndim
        assert all(step > 0 for step in layer.scale)
        assert len(layer.units) == layer.ndim
        assert layer.axis_labels[-2:] == ("y", "x")
        assert layer.metadata["credit"]


def test_volumes_have_millimetres_and_lie_upright() -> None:
    pixels, keywords, _ = samples.abdomen_ct()[0]
    assert keywords["scale"] == (3.0, 3.0, 3.0)
    assert set(keywords["units"]) == {"millimeter"}
    # the patient lies on his back: the spine's bone is in the lower half of a plane, the table below it
    bone_rows = np.nonzero((pixels > 300).sum(axis=(0, 2)))[0]
    assert np.median(bone_rows) > pixels.shape[1] / 2
    # planes go from feet to head, and the liver, on the body's right, stands on the left of the upper ones
    upper = ((pixels > 20) & (pixels < 80))[-12:]
    assert upper[..., : pixels.shape[2] // 2].sum() > upper[..., pixels.shape[2] // 2 :].sum()


def test_rgb_and_near_infrared_show_the_same_ground() -> None:
    colour, near_infrared = samples.farmland()
    assert near_infrared[0].shape == colour[0].shape[:2]
    assert near_infrared[1]["scale"] == colour[1]["scale"] == (0.6, 0.6)
    # water is dark in near infrared, vegetation bright, however alike they are in green
    blue_dark = colour[0].sum(axis=2) < np.percentile(colour[0].sum(axis=2), 5)
    assert near_infrared[0][blue_dark].mean() < near_infrared[0].mean()


def test_every_file_is_credited_and_they_stay_small() -> None:
    folder = resource("samples")
    credits = (folder / "CREDITS.md").read_text(encoding="utf-8")
    files = [f for f in folder.iterdir() if f.suffix not in (".md", ".txt")]
    assert set(re.findall(r"`([\w.]+\.(?:png|jpg|nii\.gz))`", credits)) >= {f.name for f in files}
    assert sum(f.stat().st_size for f in files) < 3_000_000
