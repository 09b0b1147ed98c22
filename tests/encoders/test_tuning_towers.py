"""Prompt tuning through text towers of every kind: CLIP's, a BERT, SigLIP's; small ones with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import text_models

from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.prompt_tuning import tune_prompts
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter


@pytest.mark.parametrize("kind", ["clip", "bert", "siglip"])
def test_each_kind_of_tower_learns_and_its_file_gives_the_same_mask(kind: str, tmp_path: Path) -> None:
    encoder = text_models.encoder_of(kind, tmp_path)
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 48:] = np.random.default_rng(0).integers(0, 256, (64, 48, 3))
    labels = np.zeros((64, 96), np.int64)
    labels[:, 48:] = 1
    segmenter = Segmenter(encoder)
    stack = ImageStack.from_array(picture)
    sample = TuningSample.from_labels(segmenter.set_image(stack), labels, complete=True)
    prompts = PromptSet.from_text("cat, dog", background=("wall",))
    options = TuningOptions(steps=15, rate=0.05, anchor=0.1, n_tokens=3)
    result = tune_prompts(encoder, prompts, [sample], options=options)
    assert result.curve[-1].loss < result.curve[0].loss
    learned = result.candidate.learned
    assert learned is not None
    assert set(learned.views) == {0, 1}
    assert learned.views[1].shape == (3, encoder.embedding_dim)
    mine = segmenter.segment(result.candidate).labels
    path = save_prompts(tmp_path / "a", SavedPrompts(result.candidate, encoder.name, encoder.fingerprint))
    again = load_prompts(path, fingerprint=encoder.fingerprint, model=encoder.name)
    assert np.array_equal(segmenter.segment(again.prompts).labels, mine)
