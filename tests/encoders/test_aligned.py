"""The embedded model: its geometry, its agreement with OpenCLIP, and what it makes of odd pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from napari_promptseg.encoders import aligned
from napari_promptseg.encoders.aligned import AlignedEncoder, open_directory
from napari_promptseg.encoders.aligned_trunk import MARGIN, Level, resized
from napari_promptseg.encoders.text import SLOT
from napari_promptseg.errors import InputError, ModelError
from napari_promptseg.resource_files import resource


@pytest.fixture(scope="module")
def encoder() -> AlignedEncoder:
    return AlignedEncoder.from_directory(resource("embedded"))


def test_the_directory_stays_small() -> None:
    assert sum(f.stat().st_size for f in resource("embedded").iterdir()) <= 70e6


def test_every_level_is_what_plain_timm_gives(encoder: AlignedEncoder) -> None:
    import timm

    plain = timm.create_model(encoder.facts["image_tower"], pretrained=False, num_classes=0, output_stride=16).eval()
    model, _ = open_directory(resource("embedded"))
    plain.load_state_dict(model.visual.trunk.state_dict(), strict=False)
    x = torch.rand(1, 3, 80, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        *found, top = encoder._trunk.levels(x)
        margins = functional.pad(x, (MARGIN,) * 4, mode="reflect")
        values = plain.bn1(plain.conv_stem((margins - encoder._trunk.mean) / encoder._trunk.std))
        for block, level in zip(plain.blocks, found, strict=True):
            values = block(values)
            torch.testing.assert_close(level.values, values, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(top.values, plain.bn2(plain.conv_head(values)), atol=1e-4, rtol=1e-4)


def test_pooled_is_what_plain_open_clip_gives(encoder: AlignedEncoder) -> None:
    model, _ = open_directory(resource("embedded"))
    picture = data.chelsea()[:224, :224]
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = model.eval().encode_image(x, normalize=True)[0]
    got = encoder.encode_plane(picture).pooled
    assert got.shape == (encoder.embedding_dim,)
    torch.testing.assert_close(got[: len(expected)], expected, atol=1e-5, rtol=1e-4)


def test_words_are_what_plain_open_clip_gives(encoder: AlignedEncoder) -> None:
    model, tokenizer = open_directory(resource("embedded"))
    words = ["cat", "skin lesion", "北京"]
    with torch.no_grad():
        expected = model.eval().encode_text(tokenizer(words), normalize=True)
    got = encoder.encode_texts(words)
    torch.testing.assert_close(got[:, : expected.shape[1]], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("shape", [(8, 8), (64, 4000), (1, 1), (300, 200), (3, 900)])
def test_any_size_gives_finite_features_that_cover_the_picture(encoder: AlignedEncoder, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    features = encoder.encode_plane(picture)
    assert features.image_shape == shape
    assert features.semantic.shape[2] == encoder.embedding_dim
    assert features.detail.shape[0] >= features.semantic.shape[0]
    assert bool(torch.isfinite(features.semantic).all())
    assert bool(torch.isfinite(features.detail).all())


def test_a_constant_picture_gives_finite_features(encoder: AlignedEncoder) -> None:
    features = encoder.encode_plane(np.full((64, 64, 3), 7, np.uint8))
    assert bool(torch.isfinite(features.semantic).all())
    assert bool(torch.isfinite(features.detail).all())


def test_a_padded_picture_shifts_its_scores(encoder: AlignedEncoder) -> None:
    cat = data.chelsea()[:288, :288]
    text = encoder.encode_texts(["cat"])[0]
    wide = np.concatenate([np.full_like(cat, 128), cat], axis=1)
    score = encoder.encode_plane(wide).semantic @ text
    half = score.shape[1] // 2
    assert float(score[:, half:].mean()) > float(score[:, :half].mean()) + 1


def test_detail_is_standardised_and_each_stage_counts_the_same(encoder: AlignedEncoder) -> None:
    detail = encoder.encode_plane(data.coffee()).detail.float().flatten(0, 1)
    assert float(detail.mean(0).abs().max()) < 0.02
    start, sums = 0, []
    for channels in (16, 24, 40, 112, 320):
        sums.append(float(detail[:, start : start + channels].var(0).sum()))
        start += channels
    assert start == detail.shape[1]
    np.testing.assert_allclose(sums, 1.0, atol=0.05)


def test_a_cat_is_found(encoder: AlignedEncoder) -> None:
    semantic = encoder.encode_plane(data.chelsea()).semantic
    texts = encoder.encode_texts(["cat", "car", "pizza", "skin lesion"])
    best = (semantic @ texts.T).argmax(-1)
    assert float((best == 0).float().mean()) > 0.5


def test_background_is_one_direction_no_word_points_in(encoder: AlignedEncoder) -> None:
    background = encoder.background_vectors()
    assert background.shape == (1, encoder.embedding_dim)
    assert float((encoder.encode_texts(["cat", "sky"]) @ background.T).abs().max()) == 0


def test_learned_tokens_get_gradients(encoder: AlignedEncoder) -> None:
    slots = torch.zeros(1, encoder.text_tower.slot_width, requires_grad=True)
    out = encoder.text_tower.encode_with_slots([f"a photo of a {SLOT} cat"], slots)
    out[0, 0].backward()
    assert slots.grad is not None
    assert float(slots.grad.abs().max()) > 0


def test_the_same_directory_has_the_same_fingerprint(encoder: AlignedEncoder) -> None:
    assert AlignedEncoder.from_directory(resource("embedded")).fingerprint == encoder.fingerprint


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(encoder: AlignedEncoder, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="cannot be encoded"):
        encoder.encode_plane(picture)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing"):
        AlignedEncoder.from_directory(tmp_path)
    for name in ("open_clip_config.json", "alignment.json", "config.json"):
        shutil.copy(resource("embedded", name), tmp_path / name)
    (tmp_path / "alignment.safetensors").write_bytes(b"not a tensor file")
    (tmp_path / "alignment.json").write_text(json.dumps({}))
    with pytest.raises(ModelError, match="its weights are missing"):
        AlignedEncoder.from_directory(tmp_path)
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ModelError, match="cannot be read"):
        AlignedEncoder.from_directory(tmp_path)


def test_a_full_gpu_falls_back_to_the_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = AlignedEncoder.from_directory(resource("embedded"))
    picture = data.chelsea()[:96, :128]
    expected = encoder.encode_plane(picture).semantic
    read, calls = encoder._trunk.levels, []

    def full_once(x: torch.Tensor) -> list[Level]:
        calls.append(x.shape)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(x)

    monkeypatch.setattr(encoder._trunk, "levels", full_once)
    # stands for a GPU: the picture stays where it is, as there is none here
    monkeypatch.setattr(encoder, "device", torch.device("cuda"))
    monkeypatch.setattr(aligned, "resized", lambda picture, size, device: resized(picture, size, torch.device("cpu")))
    found = encoder.encode_plane(picture)
    monkeypatch.undo()
    assert encoder.device == torch.device("cpu")
    assert "cuda is full" in encoder.notices[0]
    torch.testing.assert_close(found.semantic, expected)


def test_a_gpu_without_room_for_the_model_leaves_it_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    move = AlignedEncoder._move

    def full(self: AlignedEncoder, device: torch.device) -> None:
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        move(self, device)

    monkeypatch.setattr(AlignedEncoder, "_move", full)
    encoder = AlignedEncoder.from_directory(resource("embedded"), torch.device("cuda"))
    assert encoder.device == torch.device("cpu")
    assert len(encoder.notices) == 1
    assert encoder.encode_texts(["cat"]).device == torch.device("cpu")


def test_the_final_pass_is_the_mean_of_two_looks(encoder: AlignedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = data.chelsea()[:240, :400]
    steps, seen = [], []

    def constant(levels: list[Level], size: tuple[int, int]) -> torch.Tensor:
        seen.append(size)
        return torch.full((size[0] // 8, size[1] // 8, encoder.embedding_dim), 2.0 * (len(seen) - 1))

    with monkeypatch.context() as patched:
        patched.setattr(encoder._space, "pixels", constant)
        made = encoder.encode_plane(picture, quality="fine", progress=lambda *step: steps.append(step))
    assert [abs(y * x / area - 1) < 0.1 for (y, x), area in zip(seen, aligned.AREA.values(), strict=True)] == [True] * 2
    assert made.semantic.shape[:2] == (seen[1][0] // 8, seen[1][1] // 8)
    torch.testing.assert_close(made.semantic, torch.ones_like(made.semantic))
    assert [step[:2] for step in steps] == [(0, 2), (1, 2), (2, 2)]
    fast, fine = (encoder.encode_plane(picture, quality=q) for q in ("fast", "fine"))
    grid = (fine.semantic.shape[0], fine.semantic.shape[1])
    spread = functional.interpolate(fast.semantic.permute(2, 0, 1)[None], grid, mode="bilinear")[0].permute(1, 2, 0)
    both = functional.cosine_similarity(spread, fine.semantic, dim=-1)
    assert both.mean() > 0.8
    assert fine.detail.shape[0] > fast.detail.shape[0]


def test_a_picture_too_small_to_be_enlarged_further_is_looked_at_once(encoder: AlignedEncoder) -> None:
    picture = data.chelsea()[:20, :20]
    fast, fine = (encoder.encode_plane(picture, quality=q) for q in ("fast", "fine"))
    assert torch.equal(fast.semantic, fine.semantic)
