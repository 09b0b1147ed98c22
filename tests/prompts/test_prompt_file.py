"""A ``.promptseg`` file comes back as it was, and every wrong one is refused with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.prompts import prompt_file
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet


def learned(seed: int = 0, **changes: object) -> LearnedPrompts:
    rng = np.random.default_rng(seed)
    values = LearnedPrompts(
        fingerprint="aa11",
        model="tiny",
        views={v: rng.normal(size=(3, 8)).astype(np.float32) for v in (0, 1)},
        global_views={1: rng.normal(size=8).astype(np.float32)},
        context=rng.normal(size=(4, 2, 6)).astype(np.float32),
        scale=1 / 3,
        gamma=50.0,
        tau=0.1,
        tensors={"live/weights": rng.normal(size=(2, 5))},
        facts={"live": {"rate": 0.1}},
    )
    return replace(values, **changes)


def saved(**changes: object) -> SavedPrompts:
    prompts = PromptSet.from_text('cat, sofa | couch, "fjord, été"').with_replaced(2, threshold=0.7, visible=False)
    values = SavedPrompts(
        replace(prompts, learned=learned(), background=("sky",), image_kind="mr", pooling="max"),
        "tiny",
        "aa11",
        {"ct": {"kind": "ct", "limits": [-160.0, 240.0]}},
        {"before": 0.71, "after": 0.83},
        {"version": "0.1.0"},
    )
    return replace(values, **changes)


def test_everything_comes_back(tmp_path: Path) -> None:
    before = saved()
    path = save_prompts(tmp_path / "my prompts", before)
    after = load_prompts(path, fingerprint="aa11", model="tiny")
    assert path.name == "my prompts.promptseg"
    assert after.prompts == before.prompts
    assert after.prompts.learned == before.prompts.learned
    assert (after.normalisation, after.validation, after.provenance) == (
        before.normalisation,
        before.validation,
        before.provenance,
    )


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    original = learned(3)
    back = load_prompts(save_prompts(tmp_path / "a", saved(prompts=replace(saved().prompts, learned=original))))
    assert back.prompts.learned is not None
    for name, array in original.arrays().items():
        assert back.prompts.learned.arrays()[name].tobytes() == array.tobytes(), name
    assert back.prompts.learned.scale == original.scale


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.text(min_size=1).filter(lambda s: s.strip()), min_size=1, max_size=5, unique_by=str.casefold))
def test_names_in_any_language_come_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    try:
        "".join(names).encode()
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    prompts = PromptSet(()).with_added((n,) for n in names)
    path = save_prompts(tmp_path_factory.mktemp("p") / "x", SavedPrompts(prompts, "m", "f"))
    assert load_prompts(path).prompts == prompts


def test_any_safetensors_reader_opens_it(tmp_path: Path) -> None:
    path = save_prompts(tmp_path / "a.promptseg", saved())
    tensors = safetensors.numpy.load(path.read_bytes())
    assert tensors["views/1"].shape == (3, 8)


def test_saving_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = save_prompts(tmp_path / "a.promptseg", saved())
    save_prompts(path, saved(validation={"after": 0.9}))
    assert load_prompts(path).validation == {"after": 0.9}
    assert [p.name for p in tmp_path.iterdir()] == ["a.promptseg"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        save_prompts(tmp_path / "file" / "a.promptseg", saved())


def test_a_value_that_is_not_plain_is_named_before_writing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plain JSON"):
        save_prompts(tmp_path / "a", saved(provenance={"x": object()}))
    assert not list(tmp_path.iterdir())


def test_no_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class"):
        save_prompts(tmp_path / "a", SavedPrompts(PromptSet(()), "m", "f"))


def test_another_model_is_refused_naming_both(tmp_path: Path) -> None:
    path = save_prompts(tmp_path / "a", saved())
    with pytest.raises(InputError, match=r"'tiny' \(aa11\).*'ViT-B-16/openai' \(bb22\)"):
        load_prompts(path, fingerprint="bb22", model="ViT-B-16/openai")
    assert load_prompts(path).model == "tiny"


def test_learned_vectors_of_another_model_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'old' \(cc33\).*'tiny' \(aa11\)"):
        save_prompts(
            tmp_path / "a", saved(prompts=replace(saved().prompts, learned=learned(fingerprint="cc33", model="old")))
        )


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = save_prompts(tmp_path / "a", saved()).read_bytes()
    cut = tmp_path / "cut.promptseg"
    for n in [*range(40), *range(40, len(data), 97), len(data) - 1]:
        cut.write_bytes(data[:n])
        with pytest.raises(InputError, match=r"cut\.promptseg is (truncated|not a \.promptseg)"):
            load_prompts(cut)
    cut.write_bytes(data[:-1])
    with pytest.raises(InputError, match="truncated"):
        load_prompts(cut)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04K\x01.", b"\x89PNG\r\n\x1a\n" * 9, b"{" * 5000, safetensors.numpy.save({"a": np.zeros(3)})],
    ids=["empty", "pickle", "png", "braces", "other safetensors"],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.promptseg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not a \.promptseg file"):
        load_prompts(path)


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.promptseg"
    text = '{"a":' * 100_000
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(InputError, match=r"not a \.promptseg"):
        load_prompts(path)


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_prompts(tmp_path / "none.promptseg")
    path = save_prompts(tmp_path / "a", saved())
    monkeypatch.setattr(prompt_file, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="at most"):
        load_prompts(path)


def edited(tmp_path: Path, change: dict[str, object], arrays: dict[str, np.ndarray] | None = None) -> Path:
    """A file whose head or arrays were changed by hand."""
    path = save_prompts(tmp_path / "a", saved())
    with safetensors.safe_open(path, "np") as handle:
        head = json.loads(handle.metadata()["promptseg"])
        tensors = {k: handle.get_tensor(k) for k in handle.keys()}  # noqa: SIM118 (not a dict)
    tensors.update(arrays or {})
    safetensors.numpy.save_file(tensors, path, metadata={"promptseg": json.dumps({**head, **change})})
    return path


def test_a_newer_format_says_update(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"newer release.*update"):
        load_prompts(edited(tmp_path, {"version": 2}))


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"classes": []}, {}),
        ({"classes": [{"name": "a"}]}, {}),
        ({"classes": "cat"}, {}),
        ({"background": [1]}, {}),
        ({"image_kind": "holiday"}, {}),
        ({"learned": {"scale": -1, "gamma": 0, "tau": 1, "facts": {}}}, {}),
        ({"learned": {"scale": "x", "gamma": 0, "tau": 1, "facts": {}}}, {}),
        ({"model": None}, {}),
        ({}, {"views/1": np.full((3, 8), np.nan, np.float32)}),
        ({}, {"views/1": np.zeros((3, 9), np.float32)}),
        ({}, {"views/x": np.zeros((3, 8), np.float32)}),
        ({}, {"views/1": np.zeros((3, 8), np.int32)}),
        ({}, {"unheard/1": np.zeros(3, np.float32)}),
    ],
)
def test_damage_is_one_sentence(tmp_path: Path, change: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"a\.promptseg is damaged") as caught:
        load_prompts(edited(tmp_path, change, arrays))
    assert "\n" not in str(caught.value)


def test_equality_and_hash_follow_the_numbers() -> None:
    a, b, other = learned(1), learned(1), learned(2)
    assert a == b
    assert hash(a) == hash(b)
    assert a != other
    prompts = PromptSet.from_text("cat")
    assert replace(prompts, learned=a) == replace(prompts, learned=b) != replace(prompts, learned=other)
    assert len({replace(prompts, learned=a), replace(prompts, learned=b), prompts}) == 2


def test_learned_arrays_cannot_be_changed_from_outside() -> None:
    mine = np.ones((3, 8), np.float32)
    kept = LearnedPrompts("f", "m", {1: mine})
    mine[:] = 7
    assert kept.views[1].max() == 1
    with pytest.raises(ValueError, match="read-only"):
        kept.views[1][0, 0] = 5


def test_a_removed_class_takes_its_vectors_along() -> None:
    prompts = replace(PromptSet.from_text("cat"), learned=learned()).without(1)
    assert prompts.learned is not None
    assert prompts.learned.vector(1) is None
    assert prompts.learned.vector(0) is not None
