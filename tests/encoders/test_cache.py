"""The feature cache: bounded, and whole after a kill, beside another process and on a full disk."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.encoders import cache as cache_module
from napari_promptseg.encoders.cache import FeatureCache, default_directory, picture_hash
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError


def features(seed: int = 0, cells: int = 10, dtype: torch.dtype = torch.float32) -> DenseFeatures:
    generator = torch.Generator().manual_seed(seed)
    return DenseFeatures(
        torch.randn(cells, cells, 8, generator=generator),
        torch.randn(2 * cells, 2 * cells, 3, generator=generator).to(dtype),
        torch.randn(8, generator=generator),
        (40, 40),
        f"print {seed}",
    )


def same(a: DenseFeatures | None, b: DenseFeatures) -> bool:
    return (
        a is not None
        and all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("semantic", "detail", "pooled"))
        and (a.image_shape, a.fingerprint, a.detail.dtype) == (b.image_shape, b.fingerprint, b.detail.dtype)
    )


def key(number: int = 0) -> tuple[str, ...]:
    return (f"picture {number}", "print", "fast")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_was_put_comes_back_from_memory_and_from_disk(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = features(dtype=dtype)
    first = FeatureCache(10, tmp_path, 10)
    assert first.get(key()) is None
    first.put(key(), stored)
    assert first.get(key()) is stored
    assert same(FeatureCache(10, tmp_path, 10).get(key()), stored)
    assert same(FeatureCache(0, tmp_path, 10).get(key()), stored)
    assert FeatureCache(10).get(key()) is None


def test_features_that_share_memory_are_kept_too(tmp_path: Path) -> None:
    value = torch.ones(4, 4, 8)
    stored = DenseFeatures(value, value.transpose(0, 1), value[0, 0], (4, 4), "print")
    FeatureCache(10, tmp_path, 10).put(key(), stored)
    assert same(FeatureCache(10, tmp_path, 10).get(key()), stored)


@pytest.mark.parametrize(
    "other", [("picture 1", "print", "fast"), ("picture 0", "other", "fast"), ("picture 0", "print")]
)
def test_every_part_of_the_key_counts(tmp_path: Path, other: tuple[str, ...]) -> None:
    cache = FeatureCache(10, tmp_path, 10)
    cache.put(key(), features())
    assert cache.get(other) is None
    assert FeatureCache(0, tmp_path, 10).get(other) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 16), st.booleans()), max_size=40))
@settings(max_examples=40, deadline=None)
def test_memory_stays_in_bounds_and_keeps_the_latest(steps: list[tuple[int, int, bool]]) -> None:
    cache = FeatureCache(memory_mb=0.02)
    order: list[int] = []
    held: dict[int, DenseFeatures] = {}
    for number, cells, put in steps:
        if put:
            held[number] = features(number, cells)
            cache.put(key(number), held[number])
            if number in order:
                order.remove(number)
            if held[number].n_bytes <= 20_000:
                order.append(number)
                while sum(held[n].n_bytes for n in order) > 20_000:
                    order.pop(0)
        else:
            found = cache.get(key(number))
            assert (found is not None) == (number in order)
            if found is not None:
                assert found is held[number]
                order.remove(number)
                order.append(number)
        assert cache.memory_in_use == sum(held[n].n_bytes for n in order) <= 20_000


def test_the_disk_stays_in_bounds_and_loses_what_was_used_longest_ago(tmp_path: Path) -> None:
    size = len(cache_module._packed(features(), key()))
    cache = FeatureCache(0, tmp_path, 3.5 * size / 1e6)
    for number in range(3):
        cache.put(key(number), features(number))
        os.utime(cache._path(key(number)), (1000 + number, 1000 + number))
    assert cache.get(key(0)) is not None  # used again: now 1 is the oldest
    cache.put(key(3), features(3))
    assert [cache.get(key(n)) is not None for n in range(4)] == [True, False, True, True]
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 3.5 * size


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = FeatureCache(0.001, tmp_path, 0.001)
    cache.put(key(), features())
    assert cache.get(key()) is None
    assert not list(tmp_path.iterdir())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_entry_is_absent_and_removed(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = FeatureCache(0, folder, 10)
    cache.put(key(), features(cells=2))
    path = cache._path(key())
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    found = cache.get(key())
    if found is not None:
        # the checksum covers the tensors, the key and the length are checked; what is left is the JSON around them
        assert torch.equal(found.semantic, features(cells=2).semantic)
    else:
        assert not path.exists()


def test_an_entry_of_another_key_under_this_name_is_not_taken(tmp_path: Path) -> None:
    cache = FeatureCache(0, tmp_path, 10)
    cache.put(key(1), features(1))
    os.replace(cache._path(key(1)), cache._path(key(2)))
    assert cache.get(key(2)) is None


def test_a_full_disk_leaves_the_memory_part_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(10, tmp_path, 10)

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            os.close(handle)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *rest: object) -> None:
            pass

        def write(self, content: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.os, "fdopen", Full)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            cache.put(key(number), features(number))
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert all(cache.get(key(n)) is not None for n in range(3))
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    cache.put(key(4), features(4))
    assert same(FeatureCache(0, tmp_path, 10).get(key(4)), features(4))


def test_a_folder_that_cannot_be_made_leaves_the_memory_part(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache = FeatureCache(10, blocked / "features", 10)
    cache.put(key(), features())
    assert cache.get(key()) is not None
    assert FeatureCache(10, blocked / "features", 10).get(key()) is None


_WRITER = """
    import sys, torch
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.encoders.features import DenseFeatures
    cache = FeatureCache(0, sys.argv[1], 4)
    print("ready", flush=True)
    n = 0
    while n < int(sys.argv[2]):
        for k in range(4):
            value = torch.full((60, 60, 8), float(k))
            cache.put((f"picture {k}", "print", "fast"), DenseFeatures(value, value, value[0, 0], (60, 60), "print"))
            found = cache.get((f"picture {k}", "print", "fast"))
            assert found is None or bool((found.semantic == k).all())
        n += 1
"""


def writer(folder: Path, rounds: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_WRITER), str(folder), str(rounds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.kill()
        pytest.fail(process.communicate()[1])
    return process


def whole(folder: Path) -> None:
    """Every entry under a final name is complete, and of the right key."""
    for k in range(4):
        path = FeatureCache(0, folder, 4)._path((f"picture {k}", "print", "fast"))
        if path.exists():
            found = FeatureCache(0, folder, 4).get((f"picture {k}", "print", "fast"))
            assert found is not None
            assert bool((found.semantic == k).all())


@pytest.mark.slow
def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    one, other = writer(tmp_path, 15), writer(tmp_path, 15)
    for process in (one, other):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    whole(tmp_path)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_a_kill_in_mid_write_leaves_only_whole_entries(tmp_path: Path) -> None:
    for pause in (0.03, 0.05, 0.08):
        process = writer(tmp_path, 10**9)
        time.sleep(pause)
        process.kill()
        process.communicate(timeout=60)
        whole(tmp_path)


def test_abandoned_files_are_cleared_away_after_an_hour(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.part", tmp_path / "fresh.part"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    FeatureCache(0, tmp_path, 10).put(key(), features())
    assert not old.exists()
    assert fresh.exists()  # another process may be writing it


def test_clear_forgets_everything(tmp_path: Path) -> None:
    cache = FeatureCache(10, tmp_path, 10)
    cache.put(key(), features())
    cache.clear()
    assert cache.get(key()) is None
    assert cache.memory_in_use == 0


def test_the_hash_is_of_shape_type_and_pixels() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    changed = picture.copy()
    changed[0, 0, 0] += 1
    hashes = {picture_hash(p) for p in (picture, changed, picture.reshape(2, 8, 3), picture.astype(np.uint16))}
    assert len(hashes) == 4
    assert picture_hash(np.asfortranarray(picture)) == picture_hash(picture)
    assert picture_hash(np.zeros((0, 3, 3), np.uint8)) != picture_hash(np.zeros((3, 0, 3), np.uint8))


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        FeatureCache(-1)


def test_the_default_folder_is_the_users_own() -> None:
    assert "napari-promptseg" in str(default_directory())


def test_a_background_writer_leaves_the_same_files(tmp_path: Path) -> None:
    value = torch.rand(6, 5, 4)
    stored = DenseFeatures(value, value, value[0, 0], (60, 50), "print")
    cache = FeatureCache(0, tmp_path, background=True)
    cache.put(("picture", "print", "fast"), stored)
    cache.flush()
    found = FeatureCache(0, tmp_path).get(("picture", "print", "fast"))
    assert found is not None
    assert torch.equal(found.detail, value)
