"""Small models of every family with random weights: the same structure as the real ones, quick to build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from napari_promptseg.encoders.torchvision_bridge import open_clip_module

TEXT = {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}


def native_vit(text: dict[str, Any] | None = None, **vision: Any) -> Any:
    """OpenCLIP's own ViT with 4 x 4 patches and 4 blocks."""
    sizes = {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 4}
    return build({**sizes, **vision}, text)


def build(vision: dict[str, Any], text: dict[str, Any] | None = None, custom: bool = False, **more: Any) -> Any:
    """``CLIP`` or ``CustomTextCLIP`` from plain configurations, with every parameter drawn anew."""
    open_clip = open_clip_module()
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = kind(embed_dim=32, vision_cfg=vision, text_cfg={**TEXT, **(text or {})}, **more)
        redraw(model)
    return model.eval().requires_grad_(False)


def timm_model(name: str, pool: str, proj: str | None, size: int, **trunk: Any) -> Any:
    """OpenCLIP's adapter around a timm trunk, shrunk by the trunk's own arguments."""
    open_clip_module()  # before timm, which wants torchvision too
    import timm
    from open_clip import timm_model as adapter

    create = timm.create_model

    def shrunk(model_name: str, **keywords: Any) -> Any:
        return create(model_name, **{**keywords, **trunk})

    adapter.timm.create_model = shrunk
    try:
        return build(
            {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj, "image_size": size, "timm_drop": 0.0},
            custom=True,
        )
    finally:
        adapter.timm.create_model = create


def redraw(model: torch.nn.Module) -> None:
    """Give every parameter a value that a mistake would show in: many start at zero, one or nearly so."""
    for name, parameter in model.named_parameters():
        if name.endswith(("logit_scale", "logit_bias")):
            continue
        with torch.no_grad():
            if parameter.ndim < 2:
                level = 1.0 if name.endswith("weight") or "gamma" in name else 0.0
                parameter.copy_(level + 0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)


VIT = {"embed_dim": 64, "depth": 4, "num_heads": 4}

FAMILIES: dict[str, Callable[[], Any]] = {
    "native": native_vit,
    "native layer scale": lambda: native_vit(ls_init_value=0.5, patch_size=8, image_size=32),
    "native average": lambda: native_vit(pool_type="avg", final_ln_after_pool=True, patch_size=14, image_size=56),
    "native attention pool": lambda: native_vit(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=2),
    "resnet": lambda: build({"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16}),
    "timm class token": lambda: timm_model("vit_tiny_patch16_224", "", "linear", 64, img_size=64, **VIT),
    "timm average": lambda: timm_model("vit_medium_patch16_gap_256", "", "linear", 64, img_size=64, **VIT),
    "siglip": lambda: timm_model(
        "vit_base_patch16_siglip_224", "map", "none", 64, img_size=64, **{**VIT, "embed_dim": 32}
    ),
    "eva02": lambda: timm_model("eva02_base_patch16_clip_224", "token", None, 64, img_size=64, **VIT),
    "eva post norm": lambda: timm_model(
        "eva02_enormous_patch14_clip_224", "token", None, 56, img_size=56, mlp_ratio=2.0, **VIT
    ),
    "pe core": lambda: timm_model("vit_pe_core_tiny_patch16_384", "map", None, 64, img_size=64, **VIT),
    "convnext": lambda: timm_model("convnext_atto", "", "linear", 64, depths=(1, 1, 2, 1), dims=(16, 24, 32, 48)),
    "convnext mlp": lambda: timm_model("convnext_atto", "", "mlp", 64, depths=(1, 1, 2, 1), dims=(16, 24, 32, 48)),
    "fastvit": lambda: timm_model("fastvit_mci0", "avg", None, 64, layers=(1, 1, 1, 1), embed_dims=(32, 32, 64, 64)),
    "efficientnet": lambda: timm_model("tf_efficientnet_lite0", "avg", "linear", 64),
    "plain cnn": lambda: timm_model("resnet10t", "avg", "linear", 64),
}

TRANSFORMERS = tuple(n for n in FAMILIES if n.startswith(("native", "timm", "siglip", "eva", "pe")))
CONVOLUTIONAL = tuple(n for n in FAMILIES if n not in TRANSFORMERS)
