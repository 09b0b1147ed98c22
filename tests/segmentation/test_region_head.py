"""What regions taught, applied to another picture."""

from __future__ import annotations

import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.segmentation import region_head
from napari_promptseg.segmentation.region_head import RegionHead, supported


def bands(shift: float = 0.0) -> DenseFeatures:
    """The first quarter of the columns differs in one detail channel and one joint channel."""
    noise = torch.Generator().manual_seed(0)
    detail = 0.1 * torch.randn(16, 24, 4, generator=noise) + shift
    semantic = 0.1 * torch.randn(8, 12, 3, generator=noise)
    detail[:, :6, 0] += 1
    semantic[:, :3, 0] += 1
    return DenseFeatures(semantic, detail, torch.zeros(3), (32, 48), "f")


def thing() -> torch.Tensor:
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[:, :6] = True
    return inside


def test_surest_cells_lend_the_picture_its_own_idea() -> None:
    first = torch.full((16, 24), -0.4)
    first[3:5, 2:4] = 0.1
    found = supported(bands(), first) > 0
    assert torch.equal(found, thing())


def test_unsure_everywhere_still_looks_at_the_best_and_nothing_alike_stays_empty() -> None:
    faint = torch.full((16, 24), -0.9)
    faint[3:5, 2:4] = -0.2
    assert torch.equal(supported(bands(), faint) > 0, thing())
    absent = torch.full((16, 24), region_head.ABSENT - 0.1)
    assert torch.equal(supported(bands(), absent), absent)


def test_words_are_believed_as_far_as_they_are_trusted() -> None:
    margin = torch.full((8, 12), -4.0)
    margin[3:5, 1] = 4.0
    nothing = torch.zeros(7)
    assert torch.equal(RegionHead(1, nothing, -0.1, 1.0).logits(bands(), margin) > 0, thing())
    deaf = RegionHead(1, nothing, -0.1, 0.0).logits(bands(), margin)
    assert torch.equal(deaf, RegionHead(1, nothing, -0.1, 0.0).logits(bands(), -margin))
