"""Preloaded by Dask workers in tests: every model is the pixel encoder, as slow as the environment says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pixel_encoder import PixelEncoder

from napari_promptseg.encoders import loading


class SlowEncoder(PixelEncoder):
    """Takes a while over every tile."""

    def encode_plane(self, picture: Any, **options: Any) -> Any:
        time.sleep(float(os.environ.get("PIXEL_ENCODER_SECONDS", "0")))
        return super().encode_plane(picture, **options)


def load_pixels(spec: str = "", *, device: str = "auto") -> Any:
    """Stands for `load_encoder`; says in a file, where the environment names one, which process loaded it."""
    if "PIXEL_ENCODER_LOADS" in os.environ:
        with open(os.environ["PIXEL_ENCODER_LOADS"], "a") as file:
            file.write(f"{os.getpid()}\n")
    return SlowEncoder()


loading.load_encoder = load_pixels
