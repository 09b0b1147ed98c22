"""What is measured of pixels, beside what a network makes of them."""

from __future__ import annotations

import numpy as np
import torch

from napari_promptseg import samples
from napari_promptseg.prompts.modality_notes import ModalityNote
from napari_promptseg.segmentation.measured import measured

RGB, NIR = ModalityNote("picture", "rgb"), ModalityNote("infrared", "nir")
CPU = torch.device("cpu")


def flat(*colour: int) -> np.ndarray:
    return np.full((12, 16, 3), colour if len(colour) == 3 else colour * 3, np.uint8)


def test_brightness_is_not_lost() -> None:
    dark, bright = (measured([flat(v)], [NIR], (6, 8), CPU) for v in (40, 200))
    assert dark.shape == (6, 8, 7)
    assert float((bright - dark)[..., 1].min()) > 0.5
    assert torch.equal(dark[0], dark[-1])


def test_colours_count_where_there_are_colours() -> None:
    assert measured([flat(200, 40, 40)], [RGB], (6, 8), CPU).shape[-1] == 30
    grey = ModalityNote("grey", "grey")
    assert measured([flat(200, 40, 40)], [grey], (6, 8), CPU).shape[-1] == 7


def test_two_modalities_have_their_differences_too() -> None:
    both = measured([flat(100, 100, 100), flat(220)], [RGB, NIR], (6, 8), CPU)
    same = measured([flat(100, 100, 100), flat(100)], [RGB, NIR], (6, 8), CPU)
    assert both.shape[-1] == 30 + 7 + 9
    assert float((both[..., 37:] - same[..., 37:]).min()) > 0.3
    assert torch.equal(both[..., :30], same[..., :30])


def test_a_finer_grid_and_a_coarser_one_show_the_same() -> None:
    picture = np.zeros((12, 16, 3), np.uint8)
    picture[:, 8:] = 255
    for grid in ((24, 32), (6, 8)):
        values = measured([picture], [NIR], grid, CPU)
        assert float(values[:, 0, 1].max()) < float(values[:, -1, 1].min())


def test_few_measured_values_count_beside_hundreds_of_features() -> None:
    """Their squared length against the eleven or so of standardised features, under the same penalty."""
    colour, grey = (pixels for pixels, _, _ in samples.farmland())
    shown = [np.asarray(colour), np.repeat(np.asarray(grey)[..., None], 3, axis=-1)]
    values = measured(shown, [RGB, NIR], (64, 64), CPU)
    assert float(values.square().sum(dim=-1).mean()) > 3 * 11
