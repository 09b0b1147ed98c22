"""Measure how much the figures behind a concept's words differ between two drawings of one region.

Simulated regions of several sizes are drawn twice; for every measure the standard deviation of the difference is fitted
by ``hypot(floor, pixels / diameter)``, the two numbers that `Scatter` holds in the modules of ``concepts/``. Robust:
the standard deviation is taken from the middle 68 %.

    python -m scripts.concept_scatter
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_promptseg.concepts.appearance import contrast_effect, detail_ratio, intensity_effect
from napari_promptseg.concepts.margin import step_width
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.surroundings import Surroundings
from napari_promptseg.evaluation.redrawing import random_region, redrawn
from napari_promptseg.images.stack import ImageStack

#: Solidity and roughness are told of outlines with notches; most others have 1 in every drawing.
_NOTCHED = 0.95

DIAMETERS = (10, 16, 28, 48, 90, 160)


def figures(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    """What one drawing measures, each in the unit its words are told by."""
    region = Region.from_mask(mask)
    around = Surroundings.of_region(region, ImageStack.from_array(picture))
    largest = max(region.outlines, key=lambda o: o.area)
    notched = largest.solidity < _NOTCHED
    found = {
        "size, log2": math.log2(region.typical_area / mask.size),
        "aspect": largest.aspect,
        "rectangularity": largest.rectangularity,
        "centre, diameters": float(region.centroids[0][0]) / region.diameter,
        "brightness": intensity_effect(around)[0],
        "contrast, log2": math.log2(contrast_effect(around)[0]),
    }
    if notched:
        found |= {"solidity": largest.solidity, "roughness": largest.roughness}
    detail, width = detail_ratio(around, region.diameter), step_width(around, region.diameter)
    if detail is not None:
        found["texture, log2"] = math.log2(detail[0])
    if width is not None:
        found["margin, log2"] = math.log2(width)
    return found


def picture_of(mask: npt.NDArray[np.bool_], diameter: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A grey picture of the region: a step with a blurred border, noise and texture of random strength."""
    step = rng.choice([-1, 1]) * rng.uniform(10, 80)
    soft = ndimage.gaussian_filter(mask.astype(float), rng.uniform(0.5, max(0.6, 0.1 * diameter)))
    grain = ndimage.gaussian_filter(rng.normal(size=mask.shape), 1.0) * 3.5
    values = 128 + step * (soft - 0.5) + grain * rng.uniform(1, 8) + grain * soft * rng.uniform(0, 8)
    return np.clip(values, 0, 255).astype(np.uint8)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=150, help="of each size (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    spreads: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for diameter in DIAMETERS:
        side = max(64, 3 * diameter)
        differences: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.regions):
            true = random_region(rng, diameter, (side, side))
            picture = picture_of(true, diameter, rng)
            one, two = (figures(picture, redrawn(true, rng)) for _ in range(2))
            for name in one.keys() & two.keys():
                differences[name].append(one[name] - two[name])
        for name, values in differences.items():
            low, high = np.percentile(values, [16, 84])
            spreads[name].append((diameter, float(high - low) / 2))
    fitted = {name: fit(points) for name, points in spreads.items()}
    for name, (floor, pixels) in fitted.items():
        measured = ", ".join(f"{d}: {s:.4f}" for d, s in spreads[name])
        print(f"{name:20} floor {floor:.4f}  pixels {pixels:.3f}   ({measured})")
    print(json.dumps({"regions": options.regions, "seed": options.seed, "fitted": fitted}))
    return 0


def fit(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Floor and pixels of ``s^2 = floor^2 + (pixels / d)^2``, by least squares on relative errors; none negative."""
    d, s = np.array(points).T
    from scipy.optimize import nnls

    found, _ = nnls(np.stack([np.ones_like(d), d**-2.0], axis=1) / s[:, None] ** 2, np.ones_like(d))
    return float(np.sqrt(found[0])), float(np.sqrt(found[1]))


if __name__ == "__main__":
    sys.exit(main())
