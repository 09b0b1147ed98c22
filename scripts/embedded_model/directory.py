"""Writing of the model directory: OpenCLIP's own files, and the sidecar."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from napari_promptseg.encoders.aligned_space import CONTRAST_CHANNELS
from scripts.embedded_model.head import CONSE_WEIGHT, HEAD_WEIGHT, PRIOR, Head, Words
from scripts.embedded_model.samples import LOW, MIDDLE, TOP
from scripts.embedded_model.towers import IMAGE_TOWER, Packages, text_folder, text_state

#: Added to the background logit, so that a lone name's threshold of .5 fits; chosen on the two folds.
OFFSET = 4.5

MODEL_FILE = "open_clip_model.safetensors"

_TEXT = "sentence-transformers/all-MiniLM-L6-v2"
_CONFIG = {
    "model_cfg": {
        "embed_dim": 384,
        "vision_cfg": {
            "timm_model_name": IMAGE_TOWER,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "mlp",
            "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": _TEXT,
            "hf_tokenizer_name": _TEXT,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": None,
            "context_length": 77,
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}
_TOKENIZER = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


def write_model(folder: Path, trunk: nn.Module, projection: nn.Sequential, packages: Packages) -> None:
    """OpenCLIP's configuration and weights, and the tokenizer's files; weights at half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"visual.trunk.{k}": v for k, v in trunk.state_dict().items() if not k.startswith("classifier")}
    state["visual.head.mlp.fc1.weight"] = projection[0].weight
    state["visual.head.mlp.fc1.bias"] = projection[0].bias
    state["visual.head.mlp.fc2.weight"] = projection[2].weight
    state |= {f"text.transformer.{k}": v for k, v in text_state(packages).items()}
    state["logit_scale"] = torch.tensor(math.log(40.0))
    _save({k: v if "running_" in k else _halved(v) for k, v in state.items()}, folder / MODEL_FILE)
    (folder / "open_clip_config.json").write_text(json.dumps(_CONFIG, indent=2))
    for name in _TOKENIZER:
        shutil.copy(text_folder(packages) / name, folder / name)


def write_sidecar(
    folder: Path, heads: list[Head], words: Words, name_vectors: torch.Tensor, facts: dict[str, Any]
) -> None:
    """Heads become one wide head with the standardising folded in; `OFFSET` is added to the background logit."""
    m, low = CONTRAST_CHANNELS, LOW
    first = torch.cat([h.first.weight / h.spread for h in heads])
    bias = torch.cat([h.first.bias - (h.first.weight / h.spread) @ h.mean for h in heads])
    factor = torch.tensor([HEAD_WEIGHT] * (heads[0].second.out_features - 1) + [1.0])
    out_bias = factor * torch.stack([h.second.bias for h in heads]).mean(0)
    out_bias[-1] += OFFSET
    tensors = {
        "classifier": words.classifier,
        "classifier_bias": words.classifier_bias,
        "class_vectors": words.imagenet,
        "name_vectors": name_vectors,
        "contrast_weight": first[:, :m],
        "fine_weight": first[:, m : m + low],
        "coarse_weight": first[:, m + low : m + low + MIDDLE],
        "top_weight": first[:, m + low + MIDDLE : m + low + MIDDLE + TOP],
        "wide_weight": first[:, m + low + MIDDLE + TOP :],
        "hidden_bias": bias,
        "out_weight": factor[:, None] * torch.cat([h.second.weight for h in heads], dim=1) / len(heads),
        "out_bias": out_bias,
        "conse_weight": torch.tensor(CONSE_WEIGHT),
        "prior_weight": torch.tensor(CONSE_WEIGHT * PRIOR),
        "prior_free": words.prior_free,
        "mean_vector": words.average,
    }
    _save({k: _halved(v) if v.ndim > 1 else v for k, v in tensors.items()}, folder / "alignment.safetensors")
    (folder / "alignment.json").write_text(json.dumps(facts, indent=0) + "\n")


def _halved(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() and value.ndim else value


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, str(path), metadata={"format": "pt"})
    path.chmod(0o644)
