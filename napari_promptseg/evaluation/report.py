"""Figures as JSON for programs and as a table for people."""

from __future__ import annotations

import math
from typing import Any

import napari_promptseg
from napari_promptseg.evaluation.evaluate import ClassFigures, Evaluation, Figures


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values, NaN as None: ``images``, ``foreground``, ``full``, ``model``, ``seconds`` and what made them.

    ``foreground`` and ``full`` each hold ``mean_iou``, ``mean_dice``, ``pixel_accuracy`` and
    ``per_class: {name: {"iou", "dice", "auc"}}``; ``full`` has ``background`` beside them.
    """
    return {
        "images": evaluation.images,
        "foreground": _figures(evaluation.foreground),
        "full": _figures(evaluation.full),
        "model": evaluation.model,
        "seconds": round(evaluation.seconds, 3),
        "planes": evaluation.planes,
        "fingerprint": evaluation.fingerprint,
        "version": napari_promptseg.__version__,
        "settings": evaluation.settings,
        "familiarity": evaluation.familiarity,
    }


def as_table(evaluation: Evaluation) -> str:
    """Lines for a terminal: means first, then a row per class, best known first as the pack orders them."""
    whole, part = evaluation.full, evaluation.foreground
    names = list(dict.fromkeys([*part.per_class, *whole.per_class]))
    wide = max([len("pixel accuracy"), *map(len, names)])
    lines = [
        f"{evaluation.images} images, model {evaluation.model}, {evaluation.seconds:.1f} s",
        "",
        f"{'':{wide}}  labelled pixels only      with background",
        f"{'':{wide}}  {'IoU':>5}  {'Dice':>5}  {'AUC':>5}       {'IoU':>5}  {'Dice':>5}  {'AUC':>5}",
        _row("mean", wide, _means(part), _means(whole)),
        _row("pixel accuracy", wide, [part.pixel_accuracy], [whole.pixel_accuracy]),
        "",
    ]
    for name in names:
        known = evaluation.familiarity.get(name, "")
        row = _row(name, wide, _three(part.per_class.get(name)), _three(whole.per_class.get(name)))
        lines.append(f"{row}  {known}".rstrip())
    if whole.background is not None:
        lines.append(_row("(background)", wide, [], _three(whole.background)))
    return "\n".join(lines)


def _figures(figures: Figures) -> dict[str, Any]:
    out: dict[str, Any] = {
        "mean_iou": _plain(figures.mean_iou),
        "mean_dice": _plain(figures.mean_dice),
        "pixel_accuracy": _plain(figures.pixel_accuracy),
        "per_class": {name: _entry(c) for name, c in figures.per_class.items()},
    }
    if figures.background is not None:
        out["background"] = _entry(figures.background)
    return out


def _entry(figures: ClassFigures) -> dict[str, float | None]:
    return {"iou": _plain(figures.iou), "dice": _plain(figures.dice), "auc": _plain(figures.auc)}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _means(figures: Figures) -> list[float]:
    ranks = [c.auc for c in figures.per_class.values() if not math.isnan(c.auc)]
    return [figures.mean_iou, figures.mean_dice, sum(ranks) / len(ranks) if ranks else float("nan")]


def _three(figures: ClassFigures | None) -> list[float]:
    return [] if figures is None else [figures.iou, figures.dice, figures.auc]


def _row(name: str, wide: int, left: list[float], right: list[float]) -> str:
    def cells(values: list[float]) -> str:
        shown = ["" if i >= len(values) else "-" if math.isnan(values[i]) else f"{values[i]:.3f}" for i in range(3)]
        return "  ".join(f"{s:>5}" for s in shown)

    return f"{name:{wide}}  {cells(left)}       {cells(right)}".rstrip()
