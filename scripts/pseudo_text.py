"""Train the text transform that ships with the embedded model: from what a region looks like to a token of text.

    python -m scripts.pseudo_text --data PACKS --out resources/pseudo_text
    python -m scripts.pseudo_text --data PACKS --without coco128_seg

Trained on pictures whose licence allows it (COCO's annotations CC BY 4.0, ISIC CC0, TotalSegmentator's test images
Apache-2.0) and on none of the packs that `benchmarks roi` measures. A region of one picture makes the token; pixels of
another picture of the same class judge the vector that the frozen text tower reads. ``--without`` leaves a pack out and
measures on it, beside the map fitted from words alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from napari_promptseg.concepts.vocabulary import shipped_vocabularies
from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.evaluation.packs import read_classes, read_mask
from napari_promptseg.images.readers import read_image
from napari_promptseg.learning.learned_classes import on_cells
from napari_promptseg.prompts.pseudo_text import TextTransform, initial_transform, with_slots

PACKS = ("coco128_seg", "isic_skin", "vol_torso_ct_mr")

#: Words beside the slot in training, for half of the regions; the others have their class's name.
NAMELESS = "one region"

#: Pixels of each region and of what surrounds it; cells that a region needs; planes read of a volume.
INSIDE, AROUND, FEWEST, PLANES = 24, 48, 6, 10

BATCH = 8
RATE = 1e-3
GAP = 4.0


@dataclass(frozen=True)
class Shown:
    """One region: its pack and class, means ``(d,)`` and pixels ``(INSIDE + AROUND, d)``."""

    pack: str
    name: str
    inside: torch.Tensor
    around: torch.Tensor
    pixels: torch.Tensor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.pseudo_text", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data packs")
    parser.add_argument("--out", type=Path, help="folder for embedded.safetensors")
    parser.add_argument("--without", choices=PACKS, help="leave a pack out, and measure on it")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--limit", type=int, default=60, help="pictures of a pack, evenly spread (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--regions", type=Path, help="file that keeps the regions between runs")
    options = parser.parse_args()
    encoder = load_encoder("embedded", device="cpu")
    shown = kept_regions(options, encoder)
    train = [s for s in shown if s.pack != options.without]
    start = initial(encoder)
    made = trained(encoder, start, train, options.steps, options.seed)
    facts = {
        "fingerprint": encoder.fingerprint,
        "packs": ",".join(sorted({s.pack for s in train})),
        "regions": str(len(train)),
        "steps": str(options.steps),
        "seed": str(options.seed),
    }
    judges = [s for s in shown if s.pack == options.without] or train
    figures = {name: measured(encoder, t, judges) for name, t in (("from words", start), ("trained", made))}
    print(json.dumps({**facts, "judged on": options.without or "its own training regions", **figures}))
    if options.out is not None:
        from safetensors.numpy import save_file

        options.out.mkdir(parents=True, exist_ok=True)
        half = {k: np.ascontiguousarray(v.astype(np.float16)) for k, v in made.tensors().items()}
        save_file(half, options.out / "embedded.safetensors", metadata=facts)


def initial(encoder: Any) -> TextTransform:
    """The map fitted from the names of the vocabularies, never a shipped one."""
    from napari_promptseg.prompts import pseudo_text

    names = sorted({n for vocabulary in shipped_vocabularies().values() for n in vocabulary.names})
    shipped, pseudo_text.shipped_transform = pseudo_text.shipped_transform, lambda fingerprint: None
    try:
        return initial_transform(encoder, encoder.text_tower, names)
    finally:
        pseudo_text.shipped_transform = shipped


def kept_regions(options: argparse.Namespace, encoder: Any) -> list[Shown]:
    """The regions of all packs, from the file if it is there."""
    if options.regions is not None and options.regions.is_file():
        rows = torch.load(options.regions, weights_only=True)
        return [Shown(*row) for row in rows]
    found = [s for pack in PACKS for s in regions_of(options.data / pack, pack, encoder, options)]
    if options.regions is not None:
        torch.save([(s.pack, s.name, s.inside, s.around, s.pixels) for s in found], options.regions)
    return found


def regions_of(folder: Path, pack: str, encoder: Any, options: argparse.Namespace) -> Iterator[Shown]:
    """Every class of every picture of a pack that fills some cells."""
    rng = np.random.default_rng(options.seed)
    for picture, mask, classes in pictures(folder, options.limit):
        features = encoder.encode_plane(picture)
        cells = features.semantic.float()
        for value in np.unique(mask).tolist():
            region = mask == value
            if value not in classes or region.all():
                continue
            share = torch.from_numpy(region.astype(np.float32))[None, None]
            share = functional.interpolate(share, cells.shape[:2], mode="area")[0, 0]
            if float(share.sum()) < FEWEST:
                continue
            pixels = []
            for side, most in ((region, INSIDE), (~region & (mask != 255), AROUND)):
                places = rng.choice(np.flatnonzero(side), most)  # with repeats where there are few
                rows, columns = np.divmod(places.astype(np.int64), mask.shape[1])
                pixels.append(on_cells(cells, features.image_shape, rows, columns))
            means = [(cells * w[..., None]).sum((0, 1)) / w.sum().clamp_min(1e-6) for w in (share, 1 - share)]
            yield Shown(pack, classes[value].split("|")[0].strip(), *means, torch.cat(pixels))


def pictures(folder: Path, limit: int) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], dict[int, str]]]:
    """Pictures with their masks and what the values are called; of volumes, planes spread over them."""
    if (folder / "images").is_dir():
        classes = read_classes(folder / "classes.json")
        files = sorted((folder / "images").iterdir())
        for i in np.unique(np.linspace(0, len(files) - 1, min(limit, len(files))).astype(int)):
            mask = read_mask(folder / "masks" / f"{files[i].stem}.png")
            yield read_image(files[i]).picture(0), mask, classes
        return
    for case in sorted(p for p in folder.iterdir() if p.is_dir()):
        classes = read_classes(case / "classes.json")
        image = next(p for p in case.iterdir() if p.name in ("ct.nii.gz", "mr.nii.gz"))
        stack, mask = read_image(image, kind=image.name[:2]), read_mask(case / "label.nii.gz")
        for plane in np.unique(np.linspace(0, len(mask) - 1, PLANES + 2)[1:-1].astype(int)).tolist():
            yield stack.picture(plane), mask[plane], classes


def trained(encoder: Any, start: TextTransform, shown: list[Shown], steps: int, seed: int) -> TextTransform:
    """The transform after so many steps."""
    import copy

    made = copy.deepcopy(start).train().requires_grad_(True)
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[int]] = {}
    for i, s in enumerate(shown):
        groups.setdefault((s.pack, s.name), []).append(i)
    keys = sorted(groups)
    optimiser = torch.optim.AdamW(made.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        # classes count the same, whatever the number of their regions
        some = [groups[keys[k]] for k in rng.integers(len(keys), size=BATCH)]
        own = [shown[rng.choice(g)] for g in some]
        judges = [shown[rng.choice(g)] for g in some]
        words = [NAMELESS if rng.random() < 0.5 else s.name for s in own]
        loss = losses(encoder, made, own, judges, words).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            print(f"step {step}: {float(loss.detach()):.3f}", flush=True)
    return made.eval().requires_grad_(False)


def losses(
    encoder: Any, transform: TextTransform, own: list[Shown], judges: list[Shown], words: list[str]
) -> torch.Tensor:
    """``(n,)``: cross-entropy and Dice of other pixels by the vectors that are read of some regions' tokens."""
    tokens = transform(torch.stack([s.inside for s in own]), torch.stack([s.around for s in own]))
    vectors = encoder.text_tower.encode_with_slots([with_slots(w, transform.n_tokens) for w in words], tokens)
    pixels = torch.stack([s.pixels for s in judges])
    # cosines, with the judging picture's own mean taken out as surroundings do in use
    score = torch.einsum("nkd,nd->nk", functional.normalize(pixels, dim=-1), vectors)
    inside, around = score[:, :INSIDE], score[:, INSIDE:]
    middle = (inside.mean(1) + around.mean(1)) / 2
    spread = score.std(dim=1).clamp_min(1e-6)
    logits = GAP * (score - middle[:, None]) / (2 * spread[:, None])
    target = (torch.arange(score.shape[1]) < INSIDE).float().expand_as(logits)
    weight = torch.where(target > 0, 0.5 / INSIDE, 0.5 / AROUND)
    entropy = (functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum(1)
    chance = logits.sigmoid()
    dice = 1 - 2 * (chance * target * weight).sum(1) / ((chance + target) * weight).sum(1)
    return entropy + dice


@torch.no_grad()
def measured(encoder: Any, transform: TextTransform, shown: list[Shown], most: int = 60) -> dict[str, float]:
    """Mean AUC of other regions' pixels by tokens of regions, without a name; the classes count the same."""
    groups: dict[str, list[Shown]] = {}
    for s in shown:
        groups.setdefault(s.name, []).append(s)
    scores = []
    for group in list(groups.values())[:most]:
        own = group[0]
        token = transform(own.inside[None], own.around[None])
        vector = encoder.text_tower.encode_with_slots([with_slots(NAMELESS, transform.n_tokens)], token)[0]
        for judge in (group[1:] or group)[:4]:
            score = functional.normalize(judge.pixels, dim=-1) @ vector
            above = (score[:INSIDE, None] > score[None, INSIDE:]).float().mean()
            scores.append((float(above), 1 / min(4, max(1, len(group) - 1))))
    values, weights = np.array(scores).T
    return {"auc": round(float(np.average(values, weights=weights)), 4), "classes": len(groups)}


if __name__ == "__main__":
    main()
