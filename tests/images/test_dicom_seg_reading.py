"""DICOM segmentations read again: of this program and of others, voxel by voxel as highdicom reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_samples import MR, PERSONAL, XRAY, dataset, enhanced_mr, save, upright_affine, write_series
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_seg_reading import is_dicom_seg, read_dicom_seg
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

highdicom = pytest.importorskip("highdicom")

RNG = np.random.default_rng(0)
COLOURS = ("#cc3311", "#0077bb", "#eecc11")
NAMES = ("liver", "Niere ä", "tumour")


def oblique(spacing=(0.75, 0.5, 3.0)):
    """Slices turned by 20 degrees about x and 10 about z."""
    a, b = np.deg2rad([20.0, 10.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-30.0, 12.5, 80.0)
    return affine


def coronal():
    """Slices from back to front, rows to the feet."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.5, 0, 0], [0, 0, -2.0], [0, -0.5, 0]])
    affine[:3, 3] = (-10.0, 20.0, 90.0)
    return affine


def described(number, name, colour):
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
        display_color=None if colour is None else highdicom.color.CIELabColor.from_rgb(*bytes.fromhex(colour[1:])),
    )


def segmented(sources, pixels, kind="BINARY", names=NAMES, colours=COLOURS, **keywords):
    """What another program writes; `pixels` in the order of the sources."""
    for data in sources:
        data.PatientSex = data.AccessionNumber = data.StudyDate = data.StudyTime = ""
    count = len(names)
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[described(k + 1, names[k], colours[k]) for k in range(count)],
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="another",
        manufacturer_model_name="program",
        software_versions="1",
        device_serial_number="1",
        specific_character_set="ISO_IR 192",
        **keywords,
    )


def headers(folder):
    """Of a series in the order of its slices."""
    found = [pydicom.dcmread(p) for p in folder.iterdir()]
    return sorted(found, key=lambda d: int(d.InstanceNumber))


def sparse_labels(shape=(6, 5, 7)):
    """Labels 0 to 3; nothing on the first and the fourth plane."""
    labels = RNG.choice(np.array([0, 0, 1, 2, 3], np.uint8), shape)
    labels[[0, 3]] = 0
    return labels


def series(folder, shape=(6, 5, 7), affine=None, **keywords):
    return write_series(folder, RNG.integers(0, 999, shape).astype(np.int16), affine, sop_class=MR, **keywords)


def upright_of(labels, image, affine):
    """Labels in the order of the slices that were written, as the reader turns them."""
    # its slices run along row times column
    onward = np.cross(affine[:3, 0], affine[:3, 1]) @ affine[:3, 2] > 0
    return image.geometry.to_stack((labels if onward else labels[::-1]).transpose(2, 1, 0))


def as_highdicom(path, stack):
    """Segment numbers on the grid of the labels, by highdicom's own volume of the file."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True, relabel=False, skip_overlap_checks=True)
    out = np.zeros(stack.grid, int)
    index = np.argwhere(volume.array)
    at = np.c_[index, np.ones(len(index))] @ volume.affine.T
    places = np.linalg.solve(stack.geometry.affine, at.T)[:3]
    assert np.abs(places - np.rint(places)).max() < 1e-3
    out[tuple(np.rint(places).astype(int))] = volume.array[tuple(index.T)]
    return out


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("affine", [upright_affine(), oblique(), coronal()], ids=["axial", "oblique", "coronal"])
@pytest.mark.parametrize("beside", [True, False])
def test_every_type_is_what_highdicom_reads(tmp_path, kind, affine, beside):
    series(tmp_path / "mr", affine=affine)
    labels = sparse_labels()
    folder = tmp_path / "mr" if beside else tmp_path / "elsewhere" / "seg"
    path = save(segmented(headers(tmp_path / "mr"), labels, kind), folder / "a.dcm")
    stack = read_dicom_seg(path)
    found = stack.modalities[0].pixels
    np.testing.assert_array_equal(found, as_highdicom(path, stack))
    image = read_image(tmp_path / "mr", series=3)
    expected = upright_of(labels, image, affine)
    if beside:
        assert stack.geometry.lies_like(image.geometry)
        np.testing.assert_array_equal(found, expected)
    else:
        assert np.count_nonzero(found) == np.count_nonzero(labels)
    # given its image, the labels lie on it wherever the file is
    given = read_dicom_seg(path, [image.geometry])
    assert given.geometry is image.geometry
    np.testing.assert_array_equal(given.modalities[0].pixels, expected)
    assert [s["name"] for s in stack.metadata["segments"]] == list(NAMES)
    assert [s["value"] for s in stack.metadata["segments"]] == [1, 2, 3]
    for segment, colour in zip(stack.metadata["segments"], COLOURS, strict=True):
        apart = np.subtract(list(bytes.fromhex(segment["colour"][1:])), list(bytes.fromhex(colour[1:])))
        assert np.abs(apart).max() <= 1


@pytest.mark.parametrize("affine", [upright_affine(), oblique(), coronal()], ids=["axial", "oblique", "coronal"])
def test_the_corner_that_was_marked_is_found_in_the_same_millimetre(tmp_path, affine):
    """Left and right, front and back, head and feet: one voxel of the series' first row and column."""
    series(tmp_path / "mr", affine=affine)
    labels = np.zeros((6, 5, 7), np.uint8)
    labels[4, 0, 6] = 2
    path = save(segmented(headers(tmp_path / "mr"), labels), tmp_path / "elsewhere" / "a.dcm")
    stack = read_dicom_seg(path)
    (index,) = np.argwhere(stack.modalities[0].pixels == 2)
    np.testing.assert_allclose((stack.geometry.affine @ [*index, 1])[:3], (affine @ [6, 0, 4, 1])[:3], atol=1e-6)


@pytest.mark.parametrize("affine", [upright_affine(), oblique(), coronal()], ids=["axial", "oblique", "coronal"])
def test_what_this_program_wrote_comes_back_bit_for_bit(tmp_path, affine):
    series(tmp_path / "mr", affine=affine, order=[3, 0, 4, 1, 2, 5])
    image = read_image(tmp_path / "mr")
    prompts = PromptSet.from_text("left kidney, 肝臓, tumour")
    labels = np.zeros(image.grid, np.uint16)
    labels[0, 0, 0], labels[1, 2, 3], labels[-1, -1, 1] = 1, 3, 300
    path, _ = write_labels(tmp_path / "out" / "m.dcm", labels, prompts, source=image, source_path=tmp_path / "mr")
    stack = read_dicom_seg(path, [image.geometry])
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)
    segments = stack.metadata["segments"]
    assert [(s["value"], s["name"]) for s in segments] == [(1, "left kidney"), (3, "tumour"), (300, "label 300")]
    colours = [c.colour for c in prompts.classes if c.value != 2]
    for segment, colour in zip(segments[:2], colours, strict=True):
        apart = np.subtract(list(bytes.fromhex(segment["colour"][1:])), list(bytes.fromhex(colour[1:])))
        assert np.abs(apart).max() <= 1
    # out/ lies beside mr/, where the series is found by what the file refers to
    beside = read_dicom_seg(path)
    np.testing.assert_array_equal(beside.modalities[0].pixels, labels)


@pytest.mark.parametrize("backward", [False, True])
def test_where_segments_overlap_the_higher_number_counts_and_a_note_says_so(tmp_path, backward):
    series(tmp_path / "mr", (3, 4, 5))
    masks = np.zeros((3, 4, 5, 3), np.uint8)
    masks[0, :2, :, 0], masks[0, 1:3, :, 1], masks[1, 0, 0, [0, 2]] = 1, 1, 1
    path = save(segmented(headers(tmp_path / "mr"), masks), tmp_path / "mr" / "a.dcm")
    if backward:
        plain = pydicom.dcmread(path)
        save(shuffled(plain, np.arange(plain.NumberOfFrames)[::-1]), path)
    stack = read_dicom_seg(path)
    expected = np.zeros((3, 4, 5), int)
    expected[0, 0], expected[0, 1:3], expected[1, 0, 0] = 1, 2, 3
    np.testing.assert_array_equal(stack.modalities[0].pixels, expected)
    (note,) = stack.metadata["notes"]
    assert note.startswith("Segments overlap in 6 voxels: ")


def test_half_of_the_highest_value_counts_as_marked(tmp_path):
    series(tmp_path / "mr", (1, 1, 4))
    shares = np.array([0.0, 0.49, 0.5, 1.0], np.float32).reshape(1, 1, 4, 1)
    made = segmented(headers(tmp_path / "mr"), shares, "FRACTIONAL", NAMES[:1], COLOURS[:1], max_fractional_value=100)
    stack = read_dicom_seg(save(made, tmp_path / "mr" / "a.dcm"))
    assert stack.modalities[0].pixels.ravel().tolist() == [0, 0, 1, 1]
    assert any("at least half" in note for note in stack.metadata["notes"])


def shuffled(made, order):
    """The same file with its frames in another order."""
    frames = made.pixel_array.reshape(-1, made.Rows, made.Columns)[order]
    made.PerFrameFunctionalGroupsSequence = [made.PerFrameFunctionalGroupsSequence[k] for k in order]
    raw = np.packbits(frames.ravel(), bitorder="little").tobytes()
    made.PixelData = raw + b"\0" * (len(raw) % 2)
    return made


def test_the_order_of_the_frames_does_not_matter(tmp_path):
    series(tmp_path / "mr")
    labels = sparse_labels()
    made = segmented(headers(tmp_path / "mr"), labels)
    order = RNG.permutation(int(made.NumberOfFrames))
    plain = pydicom.dcmread(save(made, tmp_path / "mr" / "a.dcm"))
    stack = read_dicom_seg(save(shuffled(plain, order), tmp_path / "mr" / "a.dcm"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


@pytest.mark.parametrize("stated", [True, False])
def test_planes_far_apart_keep_their_distance(tmp_path, stated):
    """Marked on planes 1, 4 and 9 of 12: their own distances are 3 and 5 steps, the file says what a step is."""
    series(tmp_path / "mr", (12, 4, 5))
    labels = np.zeros((12, 4, 5), np.uint8)
    labels[1, 0, 0], labels[4, 1, 1], labels[9, 3, 4] = 1, 2, 1
    made = segmented(headers(tmp_path / "mr"), labels, names=NAMES[:2])
    if not stated:
        (measures,) = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        for name in ("SpacingBetweenSlices", "SliceThickness"):
            if name in measures:
                delattr(measures, name)
    stack = read_dicom_seg(save(made, tmp_path / "elsewhere" / "deep" / "a.dcm"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels[1:10])
    np.testing.assert_allclose(stack.spacing, (2.5, 0.9, 0.7))


@pytest.mark.parametrize("affine", [upright_affine(), coronal(), oblique()], ids=["axial", "coronal", "oblique"])
def test_a_part_of_the_series_planes_goes_to_its_place(tmp_path, affine):
    """Programs that store what is marked and no more: rows and columns are fewer than the image's."""
    series(tmp_path / "mr", (4, 8, 9), affine)
    image = read_image(tmp_path / "mr")
    part = affine.copy()
    part[:3, 3] = (affine @ [3, 2, 1, 1])[:3]
    series(tmp_path / "part", (2, 4, 5), part)
    labels = RNG.integers(0, 4, (2, 4, 5)).astype(np.uint8)
    stack = read_dicom_seg(save(segmented(headers(tmp_path / "part"), labels), tmp_path / "a.dcm"), [image.geometry])
    whole = np.zeros((4, 8, 9), int)
    whole[1:3, 2:6, 3:8] = labels
    expected = upright_of(whole, image, affine)
    np.testing.assert_array_equal(stack.modalities[0].pixels, expected)


@pytest.mark.parametrize("corner", [(5, 2, 1), (3, 5, 1), (3, 2, 3), (-1, 0, 0), (0, 0, -1)])
def test_frames_that_reach_beyond_the_image_keep_their_own_grid(tmp_path, corner):
    series(tmp_path / "mr", (4, 8, 9))
    image = read_image(tmp_path / "mr")
    part = upright_affine()
    part[:3, 3] = (part @ [*corner, 1])[:3]
    series(tmp_path / "part", (2, 4, 5), part)
    labels = RNG.integers(1, 4, (2, 4, 5)).astype(np.uint8)
    stack = read_dicom_seg(save(segmented(headers(tmp_path / "part"), labels), tmp_path / "a.dcm"), [image.geometry])
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


def test_another_grid_is_not_forced_onto_the_image(tmp_path):
    series(tmp_path / "mr")
    image = read_image(tmp_path / "mr")
    series(tmp_path / "fine", affine=upright_affine(spacing=(0.6, 0.9, 2.5)))
    labels = sparse_labels()
    path = save(segmented(headers(tmp_path / "fine"), labels), tmp_path / "x" / "y" / "a.dcm")
    stack = read_dicom_seg(path, [image.geometry])
    assert not stack.geometry.lies_like(image.geometry)
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels[1:])


def test_of_several_series_beside_it_is_the_one_that_the_file_refers_to(tmp_path):
    """Another one of the same folder has the same planes and more of them."""
    series(tmp_path / "mr")
    sources = headers(tmp_path / "mr")
    series(tmp_path / "mr", (9, 5, 7), name="AA{:04d}".format, SeriesInstanceUID="1.2.3.7", SeriesNumber=1)
    labels = sparse_labels()
    stack = read_dicom_seg(save(segmented(sources, labels), tmp_path / "mr" / "seg.dcm"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


def test_coarse_slices_are_not_laid_onto_every_other_fine_one(tmp_path):
    series(tmp_path / "mr")
    series(tmp_path / "fine", (12, 5, 7), upright_affine(spacing=(0.7, 0.9, 1.25)))
    labels = sparse_labels()
    path = save(segmented(headers(tmp_path / "mr"), labels), tmp_path / "x" / "y" / "a.dcm")
    fine, coarse = (read_image(tmp_path / name).geometry for name in ("fine", "mr"))
    assert read_dicom_seg(path, [fine]).geometry.spacing == pytest.approx((2.5, 0.9, 0.7))
    stack = read_dicom_seg(path, [fine, coarse])
    assert stack.geometry is coarse
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


def test_one_multi_frame_file_as_source(tmp_path):
    values = RNG.integers(0, 1000, (4, 5, 6)).astype(np.uint16)
    source = save(enhanced_mr(values, oblique(), [1.0] * 4), tmp_path / "mr" / "one.dcm")
    labels = sparse_labels((4, 5, 6))
    path = save(segmented([pydicom.dcmread(source)], labels), tmp_path / "seg" / "a.dcm")
    stack = read_dicom_seg(path)
    image = read_image(source)
    assert stack.geometry.lies_like(image.geometry)
    np.testing.assert_array_equal(stack.modalities[0].pixels, image.geometry.to_stack(labels.transpose(2, 1, 0)))


def test_label_map_with_gaps_between_the_numbers_and_undescribed_ones(tmp_path):
    series(tmp_path / "mr", (2, 2, 2))
    labels = np.array([0, 1, 3, 0, 1, 1, 2, 0], np.uint8).reshape(2, 2, 2)
    made = segmented(headers(tmp_path / "mr"), labels, "LABELMAP")
    made.SegmentSequence = [s for s in made.SegmentSequence if s.SegmentNumber != 2]
    stack = read_dicom_seg(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)
    assert [(s["value"], s["name"]) for s in stack.metadata["segments"]] == [
        (1, "liver"),
        (2, "segment 2"),
        (3, "tumour"),
    ]


def test_colours_of_a_palette(tmp_path):
    series(tmp_path / "mr", (1, 2, 2))
    table = highdicom.PaletteColorLUTTransformation.from_colors(
        ["black", "red", "lime", "blue"], palette_color_lut_uid=highdicom.UID()
    )
    labels = np.array([0, 1, 2, 3], np.uint8).reshape(1, 2, 2)
    made = segmented(
        headers(tmp_path / "mr"), labels, "LABELMAP", colours=(None,) * 3, palette_color_lut_transformation=table
    )
    stack = read_dicom_seg(save(made, tmp_path / "a.dcm"))
    assert [s["colour"] for s in stack.metadata["segments"]] == ["#ff0000", "#00ff00", "#0000ff"]
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


def test_what_pydicom_ships():
    path = get_testdata_file("liver_1frame.dcm", download=False)
    if path is None:
        pytest.skip("this pydicom does not ship it")
    stack = read_dicom_seg(path)
    expected = pydicom.dcmread(path).pixel_array
    file_order = stack.geometry.to_file(stack.modalities[0].pixels)[..., 0].T
    np.testing.assert_array_equal(file_order, expected)
    assert expected.any()
    assert [s["name"] for s in stack.metadata["segments"]] == ["Liver"]


def test_no_name_of_the_patient_comes_out(tmp_path):
    series(tmp_path / "mr")
    names = ("Erika liver", "kidney", "PID4711")
    made = segmented(headers(tmp_path / "mr"), sparse_labels(), names=names, series_description="of Mustermann")
    stack = read_dicom_seg(save(made, tmp_path / "Mustermann.dcm"))
    text = repr((stack.metadata, stack.source, stack.modalities[0].name)).casefold()
    assert not [word for word in PERSONAL if word in text]
    assert [s["name"] for s in stack.metadata["segments"]] == ["segment 1", "kidney", "segment 3"]


def no_segments(made):
    made.SegmentSequence = []


def same_numbers(made):
    made.SegmentSequence[1].SegmentNumber = 1


def no_type(made):
    made.SegmentationType = "PERHAPS"


def other_segment(made):
    made.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7


def uneven(made):
    for k, groups in enumerate(made.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, float(np.sqrt(2) ** k)]


def turned(made):
    shared = made.SharedFunctionalGroupsSequence[0]
    for k, groups in enumerate(made.PerFrameFunctionalGroupsSequence):
        orientation = pydicom.Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if k % 2 else [0, 1, 0, 0, 0, -1]
        groups.PlaneOrientationSequence = [orientation]
    del shared.PlaneOrientationSequence


def no_pixels(made):
    del made.PixelData


def few_pixels(made):
    made.PixelData = made.PixelData[:4]


def no_size(made):
    made.Rows = 0


def one_frame_too_many(made):
    made.NumberOfFrames = int(made.NumberOfFrames) + 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_segments, "describes no segment"),
        (same_numbers, "no numbers of their own"),
        (no_type, "binary, fractional or a label map"),
        (other_segment, "plane 1 belongs to no segment"),
        (uneven, "not evenly spaced"),
        (turned, "turned against each other"),
        (no_pixels, "no pixels"),
        (few_pixels, "damaged"),
        (no_size, "how large"),
        (one_frame_too_many, "belongs to no segment|does not say where"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path, damage, words):
    series(tmp_path / "mr")
    made = segmented(headers(tmp_path / "mr"), sparse_labels())
    path = save(made, tmp_path / "far" / "away" / "a.dcm")
    data = pydicom.dcmread(path)
    damage(data)
    save(data, path)
    with pytest.raises(InputError, match=words) as caught:
        read_dicom_seg(path)
    said = str(caught.value)
    assert said.startswith("'a.dcm' ")
    assert said.count(". ") == 0
    assert not [word for word in PERSONAL if word in said.casefold()]


def test_what_is_no_segmentation_is_said(tmp_path):
    (slice_,) = write_series(tmp_path / "ct", np.zeros((1, 4, 4), np.int16))
    with pytest.raises(InputError, match="is no DICOM segmentation but CT"):
        read_dicom_seg(slice_)
    (tmp_path / "text.dcm").write_text("text")
    with pytest.raises(InputError, match=r"'text\.dcm' is no DICOM file"):
        read_dicom_seg(tmp_path / "text.dcm")
    assert not is_dicom_seg(slice_)
    assert not is_dicom_seg(tmp_path / "text.dcm")
    assert not is_dicom_seg(tmp_path / "missing.dcm")


def test_damaged_bytes_are_one_sentence(tmp_path):
    """Bytes changed by chance anywhere, 60 files: labels or an InputError, and never the patient's name."""
    series(tmp_path / "mr")
    path = save(segmented(headers(tmp_path / "mr"), sparse_labels()), tmp_path / "x" / "y" / "a.dcm")
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = []
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(132, len(content), 12):
            content[place] = rng.integers(0, 256)
        path.write_bytes(bytes(content[: rng.integers(200, len(content))] if rng.random() < 0.3 else content))
        try:
            read_dicom_seg(path)
        except InputError as error:
            refused.append(str(error).casefold())
    assert refused
    assert not [said for said in refused if any(word in said for word in PERSONAL)]


def without_place(data):
    """The same without a word on where its planes lie, as ultrasound and radiographs are."""
    shared = data.get("SharedFunctionalGroupsSequence", [])
    for item in (data, *shared, *data.get("PerFrameFunctionalGroupsSequence", [])):
        for name in (
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PlanePositionSequence",
            "PlaneOrientationSequence",
        ):
            if name in item:
                delattr(item, name)
    return data


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_without_a_place_lie_on_the_pictures_that_they_refer_to(tmp_path, beside, kind):
    source = enhanced_mr(RNG.integers(0, 99, (4, 5, 6)).astype(np.uint16), upright_affine(), [1.0] * 4)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 0, 5], labels[2, 4, 0] = 1, 3
    made = without_place(segmented([source], labels, kind))
    save(without_place(source), tmp_path / "us" / "one.dcm")
    path = save(made, tmp_path / ("us" if beside else "far/away") / "seg.dcm")
    stack = read_dicom_seg(path)
    assert (stack.geometry, stack.axis_names) == (None, ("plane", "y", "x"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels if beside else labels[:3])
    np.testing.assert_array_equal(read_dicom_seg(path, n_pages=4).modalities[0].pixels, labels)


def test_pictures_in_files_of_their_own_are_needed_to_tell_which_is_which(tmp_path):
    series(tmp_path / "xr", (3, 5, 6))
    labels = np.zeros((3, 5, 6), np.uint8)
    labels[0, 0, 5], labels[2, 4, 0] = 1, 3
    made = without_place(segmented(headers(tmp_path / "xr"), labels))
    for data in headers(tmp_path / "xr"):
        save(without_place(data), Path(data.filename))
    np.testing.assert_array_equal(read_dicom_seg(save(made, tmp_path / "xr" / "s.dcm")).modalities[0].pixels, labels)
    with pytest.raises(InputError, match=r"does not say where in the patient .* in the folder of the pictures"):
        read_dicom_seg(save(made, tmp_path / "far" / "away" / "s.dcm"))


def test_a_single_picture(tmp_path):
    source = dataset(np.zeros((5, 6), np.uint8), XRAY, FrameOfReferenceUID=None, InstanceNumber=1)
    mask = np.zeros((1, 5, 6), np.uint8)
    mask[0, 0, 5] = 2
    stack = read_dicom_seg(save(segmented([source], mask), tmp_path / "s.dcm"))
    assert stack.axis_names == ("y", "x")
    np.testing.assert_array_equal(stack.modalities[0].pixels, mask[0])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_compressed_files(tmp_path, kind, syntax):
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    series(tmp_path / "mr", (3, 40, 42))
    labels = sparse_labels((4, 40, 42))[1:]
    if syntax == DeflatedExplicitVRLittleEndian:
        made = segmented(headers(tmp_path / "mr"), labels, kind)
        made.file_meta.TransferSyntaxUID = syntax
    else:
        made = segmented(headers(tmp_path / "mr"), labels, kind, transfer_syntax_uid=syntax)
    stack = read_dicom_seg(save(made, tmp_path / "mr" / "s.dcm"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, labels)


def test_planes_of_the_same_segment_at_one_place_are_united_and_told(tmp_path):
    series(tmp_path / "mr", (2, 2, 4))
    labels = np.zeros((2, 2, 4), np.uint8)
    labels[:, 0, 0], labels[1, 1, 1] = 1, 1
    made = segmented(headers(tmp_path / "mr"), labels, names=NAMES[:1])
    first, second = made.PerFrameFunctionalGroupsSequence
    second.PlanePositionSequence = first.PlanePositionSequence
    stack = read_dicom_seg(save(made, tmp_path / "mr" / "a.dcm"))
    assert np.argwhere(stack.modalities[0].pixels.max(axis=0)).tolist() == [[0, 0], [1, 1]]
    assert len(set(np.nonzero(stack.modalities[0].pixels)[0])) == 1
    (note,) = stack.metadata["notes"]
    assert note.startswith("1 plane lies where another one of the same segment does")
