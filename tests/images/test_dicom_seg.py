"""DICOM segmentations as an archive has to take them: codes, references and places; what cannot be said so is."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_samples import MR, PERSONAL, enhanced_mr, save, upright_affine, write_series
from pydicom.sr.codedict import codes

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_codes import _KNOWN, OWN_SCHEME, coded
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

highdicom = pytest.importorskip("highdicom")

PROMPTS = PromptSet.from_text("left kidney, 肝臓, tumour")
RNG = np.random.default_rng(0)


def labelled(shape):
    """Labels 0, 1 and 3 everywhere but in the first plane; the second class does not occur."""
    labels = RNG.choice(np.array([0, 1, 3], np.uint8), shape)
    labels[0] = 0
    return labels


def upright(made):
    """Segment numbers as highdicom gives them back, from the feet to the head."""
    volume = made.get_volume(combine_segments=True, relabel=False)
    return volume.array[:: int(np.sign(volume.affine[2, 0]))]


def written(tmp_path, labels, source, prompts=PROMPTS, **keywords):
    stack = read_image(source)
    path, _ = write_labels(
        tmp_path / "out" / "Maß 1.dcm",
        labels,
        prompts,
        source=stack,
        source_path=source,
        provenance={"model": "embedded"},
        **keywords,
    )
    return highdicom.seg.segread(path)


def test_segments_say_what_they_are_and_refer_to_their_slices(tmp_path):
    values = RNG.integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    # written in another order than that of the slices, so that the order of the files cannot help
    write_series(tmp_path / "ct", values, order=[3, 0, 4, 1, 2], SeriesDescription="Abdomen", StudyDate="20200102")
    labels = labelled((5, 6, 7))
    made = written(tmp_path, labels, tmp_path / "ct")
    assert (made.Modality, made.SegmentationType, made.SOPClassUID.name) == ("SEG", "BINARY", "Segmentation Storage")
    assert (made.StudyInstanceUID, made.FrameOfReferenceUID) == ("1.2.3.1", "1.2.3.3")
    assert made.SeriesInstanceUID != "1.2.3.2"
    assert (str(made.PatientName), made.PatientID, made.StudyDate) == ("Mustermann^Erika", "PID4711", "20200102")
    assert made.SeriesNumber == 1003
    kidney, tumour = made.SegmentSequence
    assert [s.SegmentLabel for s in made.SegmentSequence] == ["left kidney", "tumour"]
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("64033007", "SCT", "Kidney")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert tumour.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Morphologically Abnormal Structure"
    algorithm = kidney.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmParameters) == ("napari-promptseg", "model=embedded")
    assert kidney.SegmentAlgorithmType == "SEMIAUTOMATIC"
    # the place of each frame is to the letter that of the file it refers to
    at = {}
    for file in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(file)
        at[data.SOPInstanceUID] = (list(map(str, data.ImagePositionPatient)), data.pixel_array)
    frames = made.pixel_array.reshape(-1, 6, 7)
    assert len(frames) == 8, "the first plane holds nothing and is left out"
    for frame, groups in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        position, pixels = at[reference]
        assert list(map(str, groups.PlanePositionSequence[0].ImagePositionPatient)) == position
        k = int(np.flatnonzero((values == pixels).all(axis=(1, 2)))[0])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        np.testing.assert_array_equal(frame, labels[k] == (0, 1, 3)[number])
    # bit for bit as highdicom itself gives it back
    np.testing.assert_array_equal(np.array([0, 1, 3])[upright(made)], labels[1:])


def test_one_multi_frame_file(tmp_path):
    affine = upright_affine()
    values = RNG.integers(0, 1000, (4, 5, 6)).astype(np.uint16)
    # frames from head to feet, while the reader's slices run to the head
    backward = affine.copy()
    backward[:3, 3] = affine[:3, 3] + 3 * affine[:3, 2]
    backward[:3, 2] *= -1
    path = save(enhanced_mr(values, backward, [1.0] * 4), tmp_path / "one.dcm")
    labels = labelled((4, 5, 6))
    made = written(tmp_path, labels, path)
    source = pydicom.dcmread(path)
    for frame, groups in zip(made.pixel_array.reshape(-1, 5, 6), made.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        own = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert groups.PlanePositionSequence[0].ImagePositionPatient == own
        k = round((float(own[2]) - affine[2, 3]) / affine[2, 2])
        segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        np.testing.assert_array_equal(frame, labels[k] == (0, 1, 3)[segment])


def test_what_was_drawn_on_a_missing_slice_is_kept_in_its_place(tmp_path):
    values = RNG.integers(0, 1000, (6, 5, 4)).astype(np.int16)
    for file in write_series(tmp_path / "mr", values, sop_class=MR)[2:4]:
        file.unlink()
    labels = labelled((6, 5, 4))
    labels[3] = 0
    made = written(tmp_path, labels, tmp_path / "mr")
    found = {}
    for frame, groups in zip(made.pixel_array.reshape(-1, 5, 4), made.PerFrameFunctionalGroupsSequence, strict=True):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        k = round((z - 100.0) / 2.5)
        assert z == pytest.approx(100.0 + 2.5 * k, abs=1e-6)
        derived = groups.get("DerivationImageSequence")
        assert bool(derived and derived[0].SourceImageSequence) == (k != 2)
        found.setdefault(k, np.zeros((5, 4), int))[frame > 0] = (0, 1, 3)[
            groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        ]
    assert sorted(found) == [1, 2, 4, 5]
    for k, plane in found.items():
        np.testing.assert_array_equal(plane, labels[k])


def test_a_file_that_says_everything_of_each_frame(tmp_path):
    """As most scanners write multi-frame files: nothing is shared."""
    data = enhanced_mr(np.zeros((3, 5, 4), np.uint16), upright_affine(), [1.0] * 3)
    (shared,) = data.SharedFunctionalGroupsSequence
    for groups in data.PerFrameFunctionalGroupsSequence:
        groups.PixelMeasuresSequence = shared.PixelMeasuresSequence
        groups.PlaneOrientationSequence = shared.PlaneOrientationSequence
    del data.SharedFunctionalGroupsSequence
    path = save(data, tmp_path / "one.dcm")
    labels = labelled((3, 5, 4))
    np.testing.assert_array_equal(np.array([0, 1, 3])[upright(written(tmp_path, labels, path))], labels[1:])


def test_one_of_two_times_in_one_file(tmp_path):
    """Frames of both times lie at the same places; those that were drawn on are referred to."""
    values = RNG.integers(0, 1000, (6, 5, 4)).astype(np.uint16)
    path = save(enhanced_mr(values, upright_affine(), [1.0] * 6, times=[1, 1, 1, 2, 2, 2]), tmp_path / "two.dcm")
    stack = read_image(path, series="3:2")
    labels = labelled((3, 5, 4))
    file, _ = write_labels(tmp_path / "a.dcm", labels, PROMPTS, source=stack, source_path=path)
    made = highdicom.seg.segread(file)
    np.testing.assert_array_equal(np.array([0, 1, 3])[upright(made)], labels[1:])
    numbers = [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for groups in made.PerFrameFunctionalGroupsSequence
    ]
    assert set(numbers) == {5, 6}


def test_painted_labels_without_a_class_are_kept_by_number(tmp_path):
    write_series(tmp_path / "ct", np.zeros((2, 4, 4), np.int16))
    labels = np.zeros((2, 4, 4), np.uint16)
    labels[1, 2, 3], labels[0, 0, 0] = 300, 2
    made = written(tmp_path, labels, tmp_path / "ct")
    assert [s.SegmentLabel for s in made.SegmentSequence] == ["肝臓", "label 300"]
    kind = made.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeMeaning) == (OWN_SCHEME, "肝臓")
    np.testing.assert_array_equal(np.array([0, 2, 300])[upright(made)], labels)


def test_headers_that_lack_what_may_be_empty(tmp_path):
    """Anonymised files often have neither a patient nor a study's date."""
    none = dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "StudyID"))
    write_series(tmp_path / "ct", np.zeros((2, 4, 4), np.int16), **none)
    made = written(tmp_path, np.ones((2, 4, 4), np.uint8), tmp_path / "ct")
    assert str(made.PatientName) == ""


def jitter(data, k):
    """Directions that the headers round differently from slice to slice."""
    data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0" if k else "0.000001"]


def test_directions_rounded_differently(tmp_path):
    write_series(tmp_path / "ct", np.zeros((3, 4, 4), np.int16), edit=jitter)
    made = written(tmp_path, np.ones((3, 4, 4), np.uint8), tmp_path / "ct")
    assert made.NumberOfFrames == 3


@pytest.mark.parametrize(
    ("tags", "labels", "words"),
    [
        ({}, np.zeros((2, 4, 4), np.uint8), "Nothing is labelled"),
        ({"FrameOfReferenceUID": None}, np.ones((2, 4, 4), np.uint8), "no FrameOfReferenceUID.*NIfTI"),
        ({}, np.ones((3, 4, 4), np.uint8), r"shape \(3, 4, 4\) and the volume \(2, 4, 4\)"),
    ],
)
def test_what_cannot_be_a_segmentation_is_said_in_one_sentence(tmp_path, tags, labels, words):
    write_series(tmp_path / "ct", np.zeros((2, 4, 4), np.int16), **tags)
    with pytest.raises(InputError, match=words) as error:
        written(tmp_path, labels, tmp_path / "ct")
    text = str(error.value)
    assert "\n" not in text
    assert not any(word in text.casefold() for word in PERSONAL)
    assert not (tmp_path / "out").exists()


def test_source_files_that_went_away(tmp_path):
    write_series(tmp_path / "ct", np.zeros((2, 4, 4), np.int16))
    stack = read_image(tmp_path / "ct")
    next((tmp_path / "ct").iterdir()).unlink()
    with pytest.raises(InputError, match="1 of the 2 DICOM files"):
        write_labels(
            tmp_path / "a.dcm",
            np.ones((2, 4, 4), np.uint8),
            PROMPTS,
            source=stack,
            source_path=tmp_path / "ct",
        )


def test_a_source_that_is_no_dicom(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 2), np.int16), np.eye(4)), tmp_path / "a.nii")
    stack = read_image(tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"cannot be written as DICOM SEG: its source is no DICOM series"):
        write_labels(tmp_path / "b.dcm", np.ones((2, 4, 4), np.uint8), PROMPTS, source=stack)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_header_that_the_standard_forbids_does_not_quote_the_patient(tmp_path, monkeypatch):
    write_series(tmp_path / "ct", np.zeros((2, 4, 4), np.int16))

    def refuse(*arguments, **keywords):
        raise ValueError("Mustermann is no valid value")

    monkeypatch.setattr(highdicom.seg, "Segmentation", refuse)
    with pytest.raises(InputError, match=r"do not allow a DICOM segmentation \(ValueError\)") as error:
        written(tmp_path, np.ones((2, 4, 4), np.uint8), tmp_path / "ct")
    assert "Mustermann" not in str(error.value)


def test_codes_are_those_of_the_standard():
    for spelling, (category, kind) in _KNOWN.items():
        found = coded(spelling)
        assert (found.category, found.kind) == (getattr(codes.SCT, category), getattr(codes.SCT, kind))
    # by number, against the standard's own list, where a slip of a name would stand out
    assert {name: coded(name).kind.value for name in ("liver", "spleen", "kidney", "lung", "tumour")} == {
        "liver": "10200004",
        "spleen": "78961009",
        "kidney": "64033007",
        "lung": "39607008",
        "tumour": "108369006",
    }


@pytest.mark.parametrize(
    ("name", "meaning", "side"),
    [
        ("Kidneys", "Kidney", None),
        ("right_lung", "Lung", "Right"),
        ("Lung, left", "Lung", "Left"),
        ("left ventricle", "Left ventricle", None),
        ("left and right kidney", "left and right kidney", None),
        ("Glas\\Wasser", "Glas/Wasser", None),
    ],
)
def test_names_find_their_codes(name, meaning, side):
    found = coded(name)
    assert found.kind.meaning == meaning
    assert (found.side.meaning if found.side else None) == side
    assert len(found.kind.value) <= 16


def test_several_multi_frame_files_are_too_many(tmp_path):
    affine = upright_affine()
    for n in range(2):
        at = affine.copy()
        at[:3, 3] += 2 * n * affine[:3, 2]
        save(enhanced_mr(np.zeros((2, 4, 4), np.uint16), at, [1.0] * 2), tmp_path / "mr" / f"{n}.dcm")
    with pytest.raises(InputError, match=r"2 multi-frame files.*NIfTI"):
        written(tmp_path, np.ones((4, 4, 4), np.uint8), tmp_path / "mr")


def test_a_single_slice(tmp_path):
    write_series(tmp_path / "ct", np.zeros((1, 4, 5), np.int16))
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 2] = 1
    made = written(tmp_path, labels, tmp_path / "ct")
    np.testing.assert_array_equal(made.pixel_array.reshape(4, 5), labels)
