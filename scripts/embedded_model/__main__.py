"""``python -m scripts.embedded_model --data DIR``: build the embedded model from registry packages and data packs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch.nn import functional

from napari_promptseg.encoders.aligned import AlignedEncoder, open_directory
from napari_promptseg.encoders.aligned_trunk import DilatedTrunk
from napari_promptseg.encoders.text import TextTower
from napari_promptseg.encoders.torchvision_bridge import ensure_torchvision
from scripts.embedded_model.directory import distilled, write_model, write_sidecar
from scripts.embedded_model.head import Words, train
from scripts.embedded_model.names import imagenet_names
from scripts.embedded_model.samples import PACKS, Samples, gather
from scripts.embedded_model.towers import IMAGE_TOWER, image_trunk
from scripts.embedded_model.vocabulary import NO_WORD, SYNONYMS

#: Channels of stages 0 to 2.
FINE_CHANNELS = 80

#: Weight of the whole picture against a cell's ConSE, and what is added to the background logit: both chosen on folds.
PRIOR = 0.6
OFFSET = 4.5

#: Training names, beside those that were not measured, whose two-fold score maps had an AUC under .90 or that stand
#: on a handful of pictures only.
WEAK = (
    "backpack, handbag, frisbee, snowboard, sandwich, chair, couch, "
    "dining table, mouse, remote, cell phone, teddy bear, orange, "
    "pole, sign, railway track, desk, flag, barrel, hill, sand, box, window, mountain, balloon, rock, bridge, crowd, "
    "rug, flower, stairs, door, christmas tree, plate, cabinet, fence, curtain, ceiling, table"
)


def weak_names() -> set[str]:
    """`WEAK` with synonyms."""
    return {s for n in WEAK.split(", ") for s in SYNONYMS.get(n, [n])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.embedded_model", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data packs")
    parser.add_argument("--wheels", type=Path, help="folder with the towers' packages unpacked, if not installed")
    parser.add_argument("--fold", type=int, choices=(0, 1), help="train on every second image only, to measure")
    parser.add_argument("--seeds", type=int, default=2, help="heads whose mean is shipped")
    parser.add_argument("--output", type=Path, default=Path("resources/embedded"))
    options = parser.parse_args()
    ensure_torchvision()
    import timm

    trunk = image_trunk(options.wheels)
    other = timm.create_model(IMAGE_TOWER, pretrained=False, output_stride=16)
    other.load_state_dict(trunk.state_dict())
    dilated = DilatedTrunk(other.eval(), (0.5,) * 3, (0.5,) * 3)
    print("reading pictures")
    parts: list[Samples] = [gather(options.data, dilated, pack, options.fold, seed=0) for pack in PACKS]
    # a first directory with any projection, only to have the text tower
    write_model(options.output, trunk, torch.nn.Sequential(torch.nn.Linear(1280, 768), torch.nn.GELU(),
                torch.nn.Linear(768, 384, bias=False)), options.wheels)  # fmt: skip
    tower = TextTower(*open_directory(options.output))
    frames = AlignedEncoder.preferred_templates

    def vectors(names: list[str]) -> torch.Tensor:
        rows = tower.encode([f.format(n) for n in names for f in frames]).view(len(names), len(frames), -1)
        return functional.normalize(rows.mean(1), dim=-1)

    imagenet = [n[0] for n in imagenet_names()]
    words = Words(vectors(imagenet), trunk.classifier.weight.detach(), trunk.classifier.bias.detach())
    learned = sorted({n for p in parts for n in p.names})
    trained = list(dict.fromkeys(s for n in learned if n != NO_WORD for s in SYNONYMS.get(n, [n])))
    asked = list(dict.fromkeys([*trained, *(s for n in learned for s in SYNONYMS.get(n, [n]))]))
    table = dict(zip(asked, vectors(asked), strict=True))
    heads = []
    for seed in range(options.seeds):
        print(f"training head {seed + 1} of {options.seeds}")
        heads.append(train(parts, words, table, seed)[0])
    tops = torch.cat([p.features[:, -1280:].float() for p in parts])
    write_model(options.output, trunk, distilled(tops, words), options.wheels)
    names = list(dict.fromkeys([*trained, *imagenet]))
    facts = {
        "names": names,
        "related": sorted({n for n in names if n not in trained} | weak_names()),
        "logit_scale": 0.5,
        "logit_bias": 0.0,
        "image_tower": IMAGE_TOWER,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    write_sidecar(options.output, heads, words, tower.encode(names), facts,
                  fine_channels=FINE_CHANNELS, prior=PRIOR, offset=OFFSET)  # fmt: skip
    print(json.dumps({"output": str(options.output), "trained_names": len(trained), "names": len(names)}))


if __name__ == "__main__":
    main()
