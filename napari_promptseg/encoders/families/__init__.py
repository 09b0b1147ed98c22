"""Image towers by family: each turns pixels into joint-space and detail features on a grid."""

from __future__ import annotations

from typing import Any

from napari_promptseg.encoders.families.native_vit import NativeViT
from napari_promptseg.encoders.families.resnet import ClipResNet
from napari_promptseg.encoders.families.timm_cnn import ConvNeXt, FastViT, TimmCNN
from napari_promptseg.encoders.families.timm_vit import MapViT, RotaryViT, TimmViT
from napari_promptseg.encoders.families.tower import ImageTower, TowerFeatures
from napari_promptseg.errors import ModelError

__all__ = ["ImageTower", "TowerFeatures", "wrap_tower"]


def wrap_tower(visual: Any, name: str = "this model") -> ImageTower:
    """Wrap OpenCLIP's image tower by the family it belongs to.

    Parts are recognised by what they have, not by private classes, which differ between releases.

    Raises
    ------
    ModelError
        Naming the family, if it is not supported.
    """
    if hasattr(visual, "transformer") and hasattr(visual, "conv1"):
        return NativeViT(visual)
    if hasattr(visual, "attnpool") and hasattr(visual, "layer4"):
        return ClipResNet(visual)
    trunk = getattr(visual, "trunk", None)
    if trunk is None:
        raise ModelError(
            f"{name} has an image tower of the family {type(visual).__name__}, which is not supported: choose another."
        )
    kind = type(trunk).__name__
    if hasattr(trunk, "blocks") and hasattr(trunk, "patch_embed") and hasattr(trunk, "pos_embed"):
        if getattr(trunk, "rope", None) is not None:
            return RotaryViT(visual)
        return TimmViT(visual) if trunk.attn_pool is None else MapViT(visual)
    if hasattr(trunk, "forward_intermediates") and hasattr(trunk, "feature_info") and not _is_windowed(trunk):
        return {"ConvNeXt": ConvNeXt, "FastVit": FastViT}.get(kind, TimmCNN)(visual)
    raise ModelError(f"{name} has an image tower of the family {kind}, which is not supported: choose another model.")


def _is_windowed(trunk: Any) -> bool:
    """Whether a trunk computes on tokens or fixed windows (Swin, relative positions) rather than on a free map."""
    return hasattr(trunk, "patch_embed") or getattr(trunk, "output_fmt", "NCHW") == "NHWC"
