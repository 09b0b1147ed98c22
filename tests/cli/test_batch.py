"""Many files: found, named apart, segmented plane by plane, and none stops the others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg.batch import segment_files, segment_stack
from napari_promptseg.errors import CancelledError, InputError, PromptSegError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.label_jobs import Job, find_images, plan
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings

PROMPTS = PromptSet.from_text("red, green", background=("black",))


@pytest.fixture
def segmenter():
    return Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))


def picture(*names):
    """Vertical stripes of 10 x 10 pixels."""
    return np.concatenate([np.full((10, 10, 3), COLOURS[n], np.uint8) for n in names], axis=1)


def save(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(*names)).save(path)
    return path


def test_files_folders_and_patterns(tmp_path):
    a, b = save(tmp_path / "in" / "a.png", "red"), save(tmp_path / "in" / "b.PNG", "red")
    deep = save(tmp_path / "in" / "deep" / "c.png", "red")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"x")
    folder = str(tmp_path / "in")
    assert find_images([folder]) == [a, b]
    assert find_images([str(b), folder, str(a)]) == [b, a]
    assert find_images([f"{folder}/**/*.png"]) == [a, deep]
    odd = save(tmp_path / "in" / "odd [1].png", "red")
    assert find_images([str(odd)]) == [odd]


def test_names_that_stand_for_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("missing.png", "no file or folder"),
        ("empty", "holds no image"),
        ("*.png", "fits the pattern"),
    ):
        with pytest.raises(InputError, match=words):
            find_images([str(tmp_path / name)])


def test_results_of_an_earlier_run_are_no_images(tmp_path, segmenter):
    image = save(tmp_path / "a.png", "red", "green")
    jobs = plan(find_images([str(tmp_path)]), tmp_path)
    assert [o.error for o in segment_files(segmenter, jobs, PROMPTS)] == [None]
    assert find_images([str(tmp_path)], leave_out=tmp_path) == [image]
    with pytest.raises(InputError, match="earlier run"):
        find_images([str(tmp_path / "a_labels.tif")], leave_out=tmp_path)


def test_every_image_has_a_label_file_of_its_own(tmp_path):
    images = [tmp_path / n for n in ("x/a.png", "y/a.png", "x/a.tif", "y/a.tif", "x/A.bmp", "x/b.png", "x/v.nii.gz")]
    names = [job.labels.name for job in plan(images, tmp_path)]
    assert names == [
        "a_png_labels.tif",
        "y_a_png_labels.tif",
        "a_tif_labels.tif",
        "y_a_tif_labels.tif",
        "A_bmp_labels.tif",
        "b_labels.tif",
        "v_labels.nii.gz",
    ]
    assert plan([tmp_path / "v.nii"], tmp_path, "png")[0].labels.name == "v_labels.png"
    assert Job(images[0], tmp_path / "v_labels.nii.gz").legend.name == "v_labels.json"


def test_all_planes_of_a_stack(segmenter):
    volume = np.stack([picture("red", "black"), picture("black", "green"), picture("green", "red")])
    steps = []
    labels, made_by = segment_stack(
        segmenter, ImageStack.from_array(volume), PROMPTS, progress=lambda *step: steps.append(step)
    )
    assert labels[:, 5, 5].tolist() == [1, 0, 2]
    assert labels[:, 5, 15].tolist() == [0, 2, 1]
    assert made_by["planes"] == 3
    assert steps[-1] == (3, 3, "all planes are done")


def test_one_bad_image_is_named_and_the_others_are_done(tmp_path, segmenter):
    good = [save(tmp_path / "in" / f"{n}.png", "red", "black", "green") for n in "az"]
    (tmp_path / "in" / "m.png").write_bytes(b"broken")
    jobs = plan(find_images([str(tmp_path / "in")]), tmp_path / "out")
    outcomes = list(segment_files(segmenter, jobs, PROMPTS))
    assert [o.job.image.name for o in outcomes if o.error] == ["m.png"]
    assert "m.png" in str(outcomes[1].error)
    assert [o.job.image for o in outcomes if not o.error] == good
    assert outcomes[0].shares == {"red": pytest.approx(1 / 3, abs=0.05), "green": pytest.approx(1 / 3, abs=0.05)}
    legend = json.loads((tmp_path / "out" / "a_labels.json").read_text())
    assert legend["provenance"]["source"] == "a.png"
    assert legend["provenance"]["fingerprint"] == "pixel-encoder"
    assert str(tmp_path) not in json.dumps(legend)
    assert tifffile.imread(tmp_path / "out" / "a_labels.tif")[5].tolist() == [1] * 10 + [0] * 10 + [2] * 10


def test_labels_that_exist_are_left_alone_before_any_work(tmp_path, segmenter, monkeypatch):
    jobs = plan([save(tmp_path / "a.png", "red")], tmp_path / "out")
    list(segment_files(segmenter, jobs, PROMPTS))
    before = jobs[0].labels.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(segmenter, "set_image", lambda *a, **k: pytest.fail("it was encoded"))
        (outcome,) = segment_files(segmenter, jobs, PROMPTS)
    assert "exists already" in str(outcome.error)
    assert jobs[0].labels.read_bytes() == before
    (outcome,) = segment_files(segmenter, jobs, PROMPTS.without(1), overwrite=True)
    assert outcome.error is None
    assert jobs[0].labels.read_bytes() != before


@pytest.mark.parametrize(("form", "words"), [("coco", "cannot hold 3 planes"), ("nifti", "not a volume in millim")])
def test_a_format_that_does_not_fit_is_said_before_any_work(tmp_path, segmenter, monkeypatch, form, words):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    monkeypatch.setattr(segmenter, "segment", lambda *a, **k: pytest.fail("it was segmented"))
    (outcome,) = segment_files(segmenter, plan([tmp_path / "a.tif"], tmp_path / "out", form), PROMPTS)
    assert words in str(outcome.error)
    assert not (tmp_path / "out").exists()


def test_what_nobody_foresaw_is_reported_with_its_image(tmp_path, segmenter, monkeypatch):
    jobs = plan([save(tmp_path / f"{n}.png", "red") for n in "ab"], tmp_path / "out")
    real = segmenter.set_image
    failures = iter([ZeroDivisionError("one\ntwo"), None])

    def sometimes(*arguments, **keywords):
        if (failure := next(failures)) is not None:
            raise failure
        return real(*arguments, **keywords)

    monkeypatch.setattr(segmenter, "set_image", sometimes)
    first, second = segment_files(segmenter, jobs, PROMPTS)
    assert isinstance(first.error, PromptSegError)
    assert "'a.png' met an unforeseen error (ZeroDivisionError: one two)" in str(first.error)
    assert second.error is None
    failures = iter([ZeroDivisionError("again")])
    with pytest.raises(ZeroDivisionError):
        list(segment_files(segmenter, jobs, PROMPTS, overwrite=True, debug=True))


def test_cancelling_keeps_what_is_finished(tmp_path, segmenter):
    jobs = plan([save(tmp_path / f"{n}.png", "red") for n in "abc"], tmp_path / "out")

    def listener(job):
        def listen(done, total, description):
            if job is jobs[1]:
                raise CancelledError("stop")

        return listen

    outcomes = segment_files(segmenter, jobs, PROMPTS, progress=listener)
    assert next(outcomes).error is None
    with pytest.raises(CancelledError):
        next(outcomes)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_labels.json", "a_labels.tif"]
