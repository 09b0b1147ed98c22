"""The picture that the benchmark of big pictures segments: photographs side by side with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CHUNK = 1024


def make_slide(path: Path, side: int, seed: int) -> None:
    """Write an RGB OME-Zarr of ``side x side`` pixels, chunk by chunk; it appears whole or not at all."""
    import zarr
    from PIL import Image

    from napari_promptseg.resource_files import resource

    rng = np.random.default_rng(seed)
    files = [f for f in sorted(resource("samples").iterdir()) if f.suffix in (".png", ".jpg") and "nir" not in f.name]
    tiles = []
    for file in files:
        with Image.open(file) as image:
            tiles.append(np.asarray(image.convert("RGB").resize((CHUNK, CHUNK))).astype(np.int16))
    noise = rng.integers(-4, 5, (2 * CHUNK, 2 * CHUNK, 1), dtype=np.int16)
    part = path.with_name(f"{path.name}.part")
    group = zarr.open_group(part, mode="w", zarr_format=3)
    array = group.create_array("0", shape=(3, side, side), dtype="uint8", chunks=(3, CHUNK, CHUNK))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    colours = [{"label": name, "color": c} for name, c in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"name": "slide", "axes": axes, "datasets": levels}],
        "omero": {"channels": [{**c, "active": True, "window": _window()} for c in colours]},
    }
    for top in range(0, side, CHUNK):
        for left in range(0, side, CHUNK):
            shift = rng.integers(0, CHUNK, 2)
            own = tiles[int(rng.integers(len(tiles)))] + noise[shift[0] :, shift[1] :][:CHUNK, :CHUNK]
            own = np.roll(own, rng.integers(0, CHUNK, 2), axis=(0, 1)).clip(0, 255).astype(np.uint8)
            own = own[: side - top, : side - left]
            array[:, top : top + own.shape[0], left : left + own.shape[1]] = own.transpose(2, 0, 1)
    part.rename(path)


def _window() -> dict[str, int]:
    return {"min": 0, "max": 255, "start": 0, "end": 255}
