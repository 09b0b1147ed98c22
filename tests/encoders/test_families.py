"""Every family of image towers gives the library's own embedding, and features that stay where the picture is."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch.nn import functional

from napari_promptseg.encoders.dense import dense_tokens
from napari_promptseg.encoders.families import wrap_tower
from napari_promptseg.encoders.families.native_vit import _pool_values
from napari_promptseg.encoders.families.timm_vit import map_values
from napari_promptseg.encoders.openclip import LoadedModel, OpenClipEncoder
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import InputError, ModelError

EXACT = {"rtol": 1e-4, "atol": 2e-5}

every_family = pytest.mark.parametrize("name", tiny_models.FAMILIES)
every_transformer = pytest.mark.parametrize("name", tiny_models.TRANSFORMERS)


@cache
def model_of(name: str) -> Any:
    return tiny_models.FAMILIES[name]()


@cache
def encoder_of(name: str) -> OpenClipEncoder:
    tokenizer = open_clip_module().SimpleTokenizer(context_length=24)
    return OpenClipEncoder(LoadedModel(name, model_of(name), tokenizer), torch.device("cpu"))


def noise(height: int, width: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def native_noise(tower: Any, **keywords: Any) -> torch.Tensor:
    return noise(tower.native_grid[0] * tower.stride, tower.native_grid[1] * tower.stride, **keywords)


def library_pooled(name: str, pixels: torch.Tensor) -> torch.Tensor:
    result = model_of(name).encode_image(pixels)
    return result[0] if isinstance(result, tuple) else result


def captured(tower: Any, pixels: torch.Tensor, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and output of the last block in the library's own forward pass."""
    seen: list[torch.Tensor] = []
    block = tower.blocks[-1]
    before = block.register_forward_pre_hook(lambda m, a, k: seen.append(a[0]), with_kwargs=True)
    after = block.register_forward_hook(lambda m, a, out: seen.append(out))
    tower.forward(pixels, grid)
    before.remove()
    after.remove()
    return seen[0], seen[1]


@every_family
def test_pooled_is_the_librarys_embedding(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    pixels = native_noise(tower, batch=2)
    for mode in tower.modes:
        torch.testing.assert_close(tower.extract(pixels, mode).pooled, library_pooled(name, pixels), **EXACT)


@every_family
def test_other_sizes_leave_the_model_as_it_was(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    pixels = native_noise(tower)
    before = library_pooled(name, pixels)
    tower.extract(noise(3 * tower.stride, 5 * tower.stride), tower.default_mode)
    torch.testing.assert_close(library_pooled(name, pixels), before, rtol=0, atol=0)


@every_transformer
def test_the_rebuilt_last_block_is_the_librarys(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    given, result = captured(tower, native_noise(tower), tower.native_grid)
    if name in ("eva02", "pe core"):
        result = tower.blocks[-1](given)  # rotary positions stay with the library
    rebuilt = dense_tokens(tower.last_block, given, "vanilla", tower.native_grid, 0)
    torch.testing.assert_close(rebuilt, result, **EXACT)


@pytest.mark.parametrize("name", ["native", "native layer scale", "timm class token", "eva02", "eva post norm"])
def test_the_head_on_the_class_token_is_the_librarys_embedding(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    pixels = native_noise(tower)
    _, tokens = captured(tower, pixels, tower.native_grid)
    torch.testing.assert_close(tower.head(tokens)[:, 0], library_pooled(name, pixels), **EXACT)


@pytest.mark.parametrize("name", ["native average", "timm average"])
def test_the_head_on_the_mean_token_is_the_librarys_embedding(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    pixels = native_noise(tower)
    _, tokens = captured(tower, pixels, tower.native_grid)
    if name == "native average":  # pools first, normalises after
        dense = tower.head(tokens[:, 1:].mean(dim=1, keepdim=True))
    else:
        dense = tower.head(tokens).mean(dim=1, keepdim=True)
    torch.testing.assert_close(dense[:, 0], library_pooled(name, pixels), **EXACT)


@pytest.mark.parametrize("name", ["siglip", "convnext", "convnext mlp", "fastvit", "efficientnet"])
def test_a_picture_of_one_cell_has_the_librarys_embedding(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    features = tower.extract(noise(tower.stride, tower.stride), "vanilla")
    assert features.semantic.shape[1:3] == (1, 1)
    torch.testing.assert_close(features.semantic[0, 0], features.pooled, **EXACT)


@pytest.mark.parametrize("name", ["fastvit", "efficientnet"])
def test_cells_average_to_the_librarys_embedding_under_a_linear_head(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    features = tower.extract(noise(3 * tower.stride, 5 * tower.stride), "vanilla")
    torch.testing.assert_close(features.semantic.mean(dim=(1, 2)), features.pooled, **EXACT)


def test_attention_over_equal_tokens_is_the_value_path() -> None:
    tokens = torch.randn(2, 1, 64).expand(-1, 5, -1)
    pool = model_of("pe core").visual.trunk.attn_pool
    torch.testing.assert_close(pool(tokens), map_values(pool, tokens)[:, 0], **EXACT)
    pool = model_of("native attention pool").visual.attn_pool
    torch.testing.assert_close(pool(tokens)[:, 0], _pool_values(pool, tokens)[:, 0], **EXACT)


def test_the_resnets_rebuilt_attention_pool_is_the_librarys() -> None:
    visual = model_of("resnet").visual
    tower = wrap_tower(visual)
    pixels = native_noise(tower)
    cells = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels))))).flatten(2).transpose(1, 2)
    pooled = tower.attend(cells, visual.attnpool.positional_embedding)[:, 0]
    torch.testing.assert_close(pooled, library_pooled("resnet", pixels), **EXACT)


#: Cells at each border that a convolutional tower of that family may see the border from.
SEEN = {"resnet": 5, "convnext": 8, "convnext mlp": 8, "plain cnn": 6}


@pytest.mark.parametrize("name", SEEN)
def test_a_shifted_picture_shifts_convolutional_features_exactly(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    side, margin = 2 * SEEN[name] + 5, SEEN[name]
    picture = noise(side * tower.stride, side * tower.stride)
    here = tower.extract(picture, tower.default_mode).semantic[0]
    there = tower.extract(torch.roll(picture, tower.stride, dims=3), tower.default_mode).semantic[0]
    middle, shifted = slice(margin, side - margin), slice(margin + 1, side - margin + 1)
    error = (there[middle, shifted] - here[middle, middle]).norm()
    assert error < 1e-3 * (there[middle, middle] - here[middle, middle]).norm()


@pytest.mark.parametrize("name", SEEN)
def test_a_padded_picture_keeps_its_convolutional_features_exactly(name: str) -> None:
    tower = wrap_tower(model_of(name).visual)
    rows = SEEN[name] + 4
    picture = noise(rows * tower.stride, 4 * tower.stride)
    padded = functional.pad(picture, (0, 0, 0, 3 * tower.stride))
    small = tower.extract(picture, tower.default_mode).semantic[0]
    large = tower.extract(padded, tower.default_mode).semantic[0]
    assert large.shape[:2] == (rows + 3, 4)
    torch.testing.assert_close(large[:3], small[:3], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(large[:rows], small, rtol=1e-3, atol=1e-4)


@every_transformer
@pytest.mark.parametrize("mode", ["vanilla", "maskclip", "clearclip"])
def test_a_rolled_picture_rolls_patch_features_without_positions(name: str, mode: str) -> None:
    # Patches carry their place only in the position embeddings: with those at zero (and no rotation) the tower does
    # not know the order of its patches, so rolling the picture by one patch must roll the features by one cell.
    model = tiny_models.FAMILIES[name]()
    tower = wrap_tower(model.visual)
    trunk = getattr(model.visual, "trunk", None)
    with torch.no_grad():
        positions = model.visual.positional_embedding if trunk is None else trunk.pos_embed
        if positions is not None:
            positions.zero_()
        if getattr(trunk, "rope", None) is not None:
            width = trunk.rope.get_embed().shape[-1] // 2
            trunk.rope.update_feat_shape = lambda grid: None
            trunk.rope.pos_embed = torch.cat([torch.zeros(15, width), torch.ones(15, width)], dim=1)  # sin, cos
    picture = noise(3 * tower.stride, 5 * tower.stride)
    here = tower.extract(picture, mode).semantic
    there = tower.extract(torch.roll(picture, (tower.stride, 2 * tower.stride), dims=(2, 3)), mode).semantic
    error = (there - torch.roll(here, (1, 2), dims=(1, 2))).norm()
    assert error < 1e-2 * (there - here).norm()


@every_transformer
def test_padding_below_moves_nothing_above(name: str) -> None:
    """Features stay with their part of the picture when the canvas grows: the best match of a cell is itself."""
    encoder = encoder_of(name)
    tower = encoder.image_tower
    picture = noise(6 * tower.stride, 6 * tower.stride, seed=3)
    grown = torch.cat([picture, torch.zeros_like(picture)], dim=2)
    mode = "maskclip" if "maskclip" in tower.modes else "vanilla"
    small = functional.normalize(tower.extract(picture, mode).semantic[0], dim=-1)
    large = functional.normalize(tower.extract(grown, mode).semantic[0], dim=-1)
    assert large.shape[:2] == (12, 6)
    centred = large - large[:6].mean(dim=(0, 1))
    cosines = torch.einsum("ijd,kld->ijkl", small - small.mean(dim=(0, 1)), centred).reshape(36, 72)
    hits = cosines.argmax(dim=1) == torch.arange(36)
    # random weights tell cells apart only by their pixels; chance would be half a hit
    assert int(hits.sum()) >= 12


@every_family
@pytest.mark.parametrize("shape", [(8, 8), (64, 400), (37, 91), (200, 60), (1, 1)])
def test_any_size_and_aspect(name: str, shape: tuple[int, int]) -> None:
    encoder = encoder_of(name)
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    features = encoder.encode_plane(picture)
    h, w, d = features.semantic.shape
    assert d == encoder.embedding_dim
    assert features.image_shape == shape
    assert torch.isfinite(features.semantic).all()
    assert torch.isfinite(features.detail).all()
    torch.testing.assert_close(features.semantic.norm(dim=-1), torch.ones(h, w), rtol=0, atol=1e-4)
    # the aspect matches to the nearest cell on the longer side
    rows, columns = shape
    assert abs(w - h * columns / rows) <= 0.5 + 0.5 * columns / rows if columns >= rows else True
    assert abs(h - w * rows / columns) <= 0.5 + 0.5 * rows / columns if rows >= columns else True
    assert features.detail.shape[0] >= h
    assert features.detail.shape[1] >= w
    assert features.pooled.shape == (d,)


@every_family
def test_detail_is_standardised_per_channel(name: str) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    detail = encoder_of(name).encode_plane(picture).detail
    torch.testing.assert_close(detail.mean(dim=(0, 1)), torch.zeros(detail.shape[2]), rtol=0, atol=1e-4)
    deviation = detail.std(dim=(0, 1), correction=0)
    live = (deviation - 1).abs() < 1e-3
    assert (live | (deviation < 1e-3)).all()  # a dead channel is constant and stays at 0
    assert live.float().mean() > 0.5


@pytest.mark.parametrize("name", ["native", "siglip", "resnet", "convnext"])
def test_fine_quality_covers_the_picture_with_more_passes(name: str) -> None:
    encoder = encoder_of(name)
    picture = np.random.default_rng(3).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    steps: list[tuple[int, int]] = []
    fine = encoder.encode_plane(picture, quality="fine", progress=lambda done, total, _: steps.append((done, total)))
    fast = encoder.encode_plane(picture)
    assert fine.semantic.shape[0] >= fast.semantic.shape[0] - 8
    assert torch.isfinite(fine.semantic).all()
    torch.testing.assert_close(fine.semantic.norm(dim=-1), torch.ones(fine.semantic.shape[:2]), rtol=0, atol=1e-4)
    torch.testing.assert_close(fine.pooled, fast.pooled)
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1] >= 2


def test_features_lie_where_the_picture_is() -> None:
    """A bright square in one corner changes that corner's cells, and no others, of a local tower."""
    encoder = encoder_of("efficientnet")
    plain = np.full((256, 256, 3), 100, np.uint8)
    marked = plain.copy()
    marked[192:, :64] = 250
    change = (encoder.encode_plane(marked).semantic - encoder.encode_plane(plain).semantic).norm(dim=-1)
    h, w = change.shape
    peak = int(change.argmax())
    assert divmod(peak, w)[0] >= h // 2
    assert divmod(peak, w)[1] < w // 2


@pytest.mark.parametrize(
    "picture",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_a_picture_of_another_kind_is_refused(picture: Any) -> None:
    with pytest.raises(InputError, match="uint8"):
        encoder_of("native").encode_plane(picture)


def test_an_unknown_quality_or_mode_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'best'"):
        encoder_of("native").encode_plane(np.zeros((8, 8, 3), np.uint8), quality="best")  # type: ignore[arg-type]
    tokenizer = open_clip_module().SimpleTokenizer(context_length=24)
    loaded = LoadedModel("resnet", model_of("resnet"), tokenizer)
    with pytest.raises(InputError, match=r"'naclip'.*CLIP ResNet"):
        OpenClipEncoder(loaded, torch.device("cpu"), "naclip")


def test_an_unsupported_family_is_named() -> None:
    class Perceiver(torch.nn.Module):
        pass

    with pytest.raises(ModelError, match="Perceiver"):
        wrap_tower(Perceiver(), "a model")
    swin = tiny_models.timm_model("swin_tiny_patch4_window7_224", "", "linear", 224, depths=(1, 1, 1, 1), embed_dim=24)
    with pytest.raises(ModelError, match="SwinTransformer"):
        wrap_tower(swin.visual, "a model")


def test_the_fingerprint_follows_weights_and_mode() -> None:
    tokenizer = open_clip_module().SimpleTokenizer(context_length=24)

    def print_of(model: Any, mode: str | None = None) -> str:
        return OpenClipEncoder(LoadedModel("x", model, tokenizer, {"a": 1}), torch.device("cpu"), mode).fingerprint

    one, other = tiny_models.native_vit(), tiny_models.native_vit()
    assert print_of(one) == print_of(other)
    assert print_of(one) != print_of(one, "vanilla")
    with torch.no_grad():
        other.visual.conv1.weight.view(-1)[5] += 1e-3
    assert print_of(one) != print_of(other)


def test_describe_gives_plain_facts() -> None:
    facts = encoder_of("native").describe()
    assert facts["family"] == "OpenCLIP ViT"
    assert facts["input_size"] == [64, 64]
    assert facts["parameters"] == sum(p.numel() for p in model_of("native").parameters())
