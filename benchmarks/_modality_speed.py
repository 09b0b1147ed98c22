"""Time and memory of a training step in a vision transformer of random weights, as large as those people use."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

#: OpenCLIP's ViT-B/16; its weights are drawn, since a step takes as long whatever they are.
MODEL = "ViT-B-16"
SIDE = 448


def device_speed(device: str = "auto", steps: int = 5) -> dict[str, Any]:
    """Forward and back through the tower with prompters for one auxiliary modality, one picture of 448 x 448 a step.

    Returns
    -------
    dict
        Seconds per step (median after the first), peak memory in MB, with and without computing stages again.
    """
    import torch

    from napari_promptseg.encoders.families import wrap_tower
    from napari_promptseg.encoders.token_stages import TokenStages
    from napari_promptseg.encoders.torchvision_bridge import open_clip_module
    from napari_promptseg.prompts.grouping import GroupingSettings, Prompters

    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    torch.manual_seed(0)
    model = open_clip_module().create_model(MODEL, pretrained=None).eval().requires_grad_(False).to(where)
    tower = wrap_tower(model.visual)
    stages: Any = TokenStages(tower, tower.default_mode, lambda picture: _pixels(picture, where))  # type: ignore[arg-type]
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    chosen = stages.default_stages
    words = torch.nn.functional.normalize(torch.randn(6, 512), dim=-1)
    prompters = Prompters({s: stages.widths[s] for s in chosen}, words, 1, GroupingSettings()).to(where).train()
    optimiser = torch.optim.AdamW(prompters.parameters(), lr=1e-3)
    first = stages.begin(pictures[0], chosen[0], chosen[:1])
    other = stages.begin(pictures[1], chosen[-1], chosen)
    total = sum(p.numel() for p in model.parameters())
    found: dict[str, Any] = {
        "model": f"{MODEL}, random weights",
        "input": [SIDE, SIDE],
        "device": str(where) if where.type == "cpu" else torch.cuda.get_device_name(where),
        "stages": list(chosen),
        "trained_numbers": prompters.n_parameters,
        "trained_share": prompters.n_parameters / total,
    }
    # checkpointed first: the peak of a process's memory never falls
    for name, checkpointed in (("checkpointed", True), ("plain", False)):
        times = []
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(where)
        for _ in range(steps):
            began = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            hook = prompters.hook([other], torch.Generator().manual_seed(0))
            features = stages.finish(first, hook, checkpointed=checkpointed)
            (features.semantic.square().mean() + features.detail.square().mean()).backward()
            optimiser.step()
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - began)
        found[name] = {"seconds_per_step": statistics.median(times[1:]), "peak_memory_mb": _peak(where)}
    return found


def _pixels(picture: Any, device: Any) -> Any:
    import torch

    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255


def _peak(device: Any) -> float:
    """Of the device, or of this process."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)
