"""A picture in blocks: right, the same for any number of workers, and taken up again where it was left."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from pixel_encoder import PixelEncoder

from napari_promptseg.errors import CancelledError, InputError, OutputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.large.bench import pixels_of
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter


def test_blocks_give_the_labels_of_the_whole_plane(workshop):
    result = workshop.run()
    np.testing.assert_array_equal(workshop.written(), workshop.truth)
    segmenter = Segmenter(workshop.encoder, settings=workshop.settings)
    segmenter.set_image(ImageStack.from_array(np.load(workshop.image)))
    np.testing.assert_array_equal(workshop.written(), segmenter.segment(workshop.prompts).labels)
    assert sorted(workshop.blocks()) == list(range(20))
    assert (result.blocks, result.kept) == (20, 0)
    assert result.counts == {v: int((workshop.truth == v).sum()) for v in (0, 1, 2)}


def test_the_legend_tells_shares_and_what_made_it(workshop):
    result = workshop.run()
    legend = json.loads(result.legend.read_text())
    shares = {c["name"]: c["area_share"] for c in legend["classes"]}
    assert shares == pytest.approx({"red": (workshop.truth == 1).mean(), "green": (workshop.truth == 2).mean()})
    assert legend["provenance"]["fingerprint"] == "pixel-encoder"
    assert legend["provenance"]["blocks"]["side"] == 96
    assert legend["provenance"]["source"] == "slide.npy"


def test_the_number_of_threads_changes_no_bit(workshop):
    edged = replace(workshop, settings=replace(workshop.settings, refinement="guided", guided_side=24))
    edged.run(size=1)
    one = edged.written()
    edged.run(size=3, overwrite=True)
    np.testing.assert_array_equal(edged.written(), one)


def test_stopped_and_taken_up_again(workshop):
    edged = replace(workshop, settings=replace(workshop.settings, refinement="guided", guided_side=24))
    edged.run(size=2)
    whole = edged.written()

    def stop(done, total, description):
        if done == 9:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        edged.run(size=2, overwrite=True, progress=stop)
    # a block that was being written when its program was killed: data, but no line
    import zarr

    array = zarr.open_group(edged.labels, mode="r+")["0"]
    array[-30:, -30:] = 77
    seen = []
    result = edged.run(size=2, progress=lambda done, *rest: seen.append(done))
    assert result.kept == 9
    assert seen[0] == 9
    assert sorted(edged.blocks()) == list(range(20))
    np.testing.assert_array_equal(edged.written(), whole)


def test_a_finished_one_is_kept_or_in_the_way(workshop):
    first = workshop.run()
    before = first.journal.read_bytes()
    with pytest.raises(OutputError, match="finished already"):
        workshop.run()
    again = workshop.run(keep_finished=True)
    assert again.kept == 20
    assert again.counts == first.counts
    assert first.journal.read_bytes() == before
    # killed while the smaller levels were made
    first.legend.unlink()
    assert workshop.run().kept == 20
    assert first.legend.exists()


def test_another_job_on_the_same_labels(workshop):
    workshop.run()
    words = replace(workshop, prompts=PromptSet.from_text("red", background=("black",)))
    with pytest.raises(InputError, match="other prompts"):
        words.run()
    with pytest.raises(InputError, match="other prompts or settings"):
        workshop.run(side=48)
    np.save(workshop.image, np.load(workshop.image)[:-30])
    with pytest.raises(InputError, match="another picture"):
        workshop.run(keep_finished=True)
    assert words.run(overwrite=True).kept == 0
    assert set(np.unique(words.written())) == {0, 1}


def test_overwriting_what_another_program_is_writing_is_refused_and_loses_nothing(workshop):
    pytest.importorskip("fcntl")
    said = []

    def meanwhile(done, total, description):
        if done == 9 and not said:
            with pytest.raises(OutputError, match="Another program is writing") as refused:
                workshop.run(overwrite=True)
            said.append(str(refused.value))

    result = workshop.run(progress=meanwhile)
    assert said
    assert (result.blocks, sorted(workshop.blocks())) == (20, list(range(20)))
    np.testing.assert_array_equal(workshop.written(), workshop.truth)


def test_killed_after_the_journal_was_emptied_and_before_the_labels_went(workshop):
    result = workshop.run()
    result.journal.write_bytes(b"")
    assert workshop.run().kept == 0
    np.testing.assert_array_equal(workshop.written(), workshop.truth)


def test_pixels_are_counted_without_a_copy_of_eight_bytes_each():
    labels = np.random.default_rng(0).integers(0, 400, (50, 70)).astype(np.uint16) // 3 * 3
    values, counts = np.unique(labels, return_counts=True)
    assert pixels_of(labels) == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert pixels_of(np.zeros((2, 3), np.uint8)) == {0: 6}


def test_labels_of_someone_else_are_not_touched(workshop):
    workshop.labels.mkdir(parents=True)
    (workshop.labels / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists already"):
        workshop.run()
    with pytest.raises(OutputError, match="holds no labels"):
        workshop.run(overwrite=True)
    assert (workshop.labels / "thesis.txt").exists()


def test_labels_that_were_moved_away_from_their_journal(workshop):
    result = workshop.run()
    shutil.rmtree(workshop.labels)
    result.legend.unlink()
    with pytest.raises(InputError, match="start anew"):
        workshop.run()


def test_planes_of_a_volume(workshop):
    pixels = np.load(workshop.image)
    np.save(workshop.image, np.stack([pixels, pixels[::-1], pixels[:, ::-1]]))
    result = workshop.run(size=2)
    assert result.blocks == 60
    truth = workshop.truth
    np.testing.assert_array_equal(workshop.written(), np.stack([truth, truth[::-1], truth[:, ::-1]]))


def test_a_zarr_picture_is_read_block_by_block(workshop):
    import zarr

    pixels = np.load(workshop.image)
    workshop.image = workshop.image.with_suffix(".zarr")
    array = zarr.create_array(workshop.image, shape=pixels.shape, dtype=pixels.dtype, chunks=(70, 70, 3))
    array[...] = pixels
    workshop.run(size=2)
    np.testing.assert_array_equal(workshop.written(), workshop.truth)


def test_limits_are_those_of_the_whole_picture(workshop):
    # dim in one half: with limits of its own each block would be stretched to full brightness
    pixels = np.load(workshop.image).astype(np.uint16) * 16
    pixels[:, 200:] //= 40
    np.save(workshop.image, pixels)
    seen = []

    class Watching(PixelEncoder):
        def encode_plane(self, picture, **options):
            seen.append(int(picture.max()))
            return super().encode_plane(picture, **options)

    replace(workshop, encoder=Watching()).run()
    assert max(seen) > 200
    assert min(seen) < 20


def test_a_damaged_chunk_is_named_and_finished_blocks_are_kept(workshop):
    import zarr

    pixels = np.load(workshop.image)
    workshop.image = workshop.image.with_suffix(".zarr")
    array = zarr.create_array(workshop.image, shape=pixels.shape, dtype=pixels.dtype, chunks=(100, 100, 3))
    array[...] = pixels
    (workshop.image / "c" / "2" / "3" / "0").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"slide\.zarr.* may be damaged"):
        workshop.run()
    assert workshop.labels.exists()
