"""Files damaged by chance: each is a volume in some place, or one sentence; nothing else, and the program lives on."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
from dicom_samples import PERSONAL, dataset, enhanced_mr, place, save, upright_affine
from napari.layers import Layer

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.reader_plugin import read_layers

VALUES = np.random.default_rng(0).integers(-1000, 2000, (7, 6, 5)).astype(np.int16)
PROMPTS = SimpleNamespace(classes=())

#: What stands in headers where a number, a list or a word is due.
STRANGE = (
    *(b"", b"nan", b"inf", b"-1", b"0", b"1e400", b"-1e300", b"1e-300", b"99999999999", b"text", b"1 2", b"(1,0,0)"),
    *(b"(nan,nan,nan)", b"\\", b"0\\0\\0", b"1\\2\\3\\4\\5\\6\\7", b"\xff\xfe", b"ERIKA", b"*" * 1500),
)


def nifti(folder):
    image = nibabel.Nifti1Image(VALUES, np.diag([0.7, 0.8, 5, 1]))
    image.set_qform(image.affine, code=1)
    return image.to_bytes(), folder / "ä b.nii", 352


def written_by_itk(folder, ending):
    image = SimpleITK.GetImageFromArray(VALUES)
    image.SetSpacing((0.7, 0.8, 5))
    path = folder / f"ä b{ending}"
    SimpleITK.WriteImage(image, str(path), useCompression=True)
    content = path.read_bytes()
    return content, path, content.index(b"LOCAL" if ending == ".mha" else b"\n\n")


def dicom(folder):
    data = place(dataset(VALUES[0], RescaleSlope="1", SeriesDescription="T1", SliceThickness="5"), upright_affine())
    path = save(data, folder / "ä b.dcm")
    content = path.read_bytes()
    return content, path, content.rindex(b"\xe0\x7f\x10\x00")


def enhanced_dicom(folder):
    path = save(enhanced_mr(VALUES, upright_affine(), [1.0] * len(VALUES)), folder / "ä b.dcm")
    content = path.read_bytes()
    return content, path, content.rindex(b"\xe0\x7f\x10\x00")


MAKERS = {
    "nifti": nifti,
    "nrrd": lambda folder: written_by_itk(folder, ".nrrd"),
    "mha": lambda folder: written_by_itk(folder, ".mha"),
    "dicom": dicom,
    "enhanced dicom": enhanced_dicom,
}


def damaged(content, end, random):
    """The file with some of its header changed, left out or cut off."""
    for _ in range(random.integers(1, 4)):
        at, what = int(random.integers(end)), random.integers(5)
        if what == 0:
            content = content[:at] + bytes([random.integers(256)]) + content[at + 1 :]
        elif what == 1:
            content = content[:at] + content[at + int(random.integers(1, 30)) :]
        elif what == 2:
            content = content[: int(random.integers(len(content)))] if random.integers(4) == 0 else content
        else:  # a number or word becomes another, of the same length where the format counts
            words = [m.span() for m in re.finditer(rb"[-+.\w]+", content[:end])]
            start, stop = words[int(random.integers(len(words)))] if words else (0, 0)
            new = STRANGE[int(random.integers(len(STRANGE)))]
            content = content[:start] + (new if what == 3 else new[: stop - start].ljust(stop - start)) + content[stop:]
    return content


def told(call, form):
    """What a call gives; None where it refuses in a sentence, of DICOM in one that names nobody."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return call()
    except InputError as error:
        text = str(error)
        assert "\n" not in text, text
        assert text.endswith("."), text
        assert ". " not in text, text
        assert "dicom" not in form or not [word for word in PERSONAL if word in text.casefold()], text
        return None


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize("seed", range(60))
def test_a_volume_or_a_sentence(tmp_path, form, seed):
    whole, path, end = MAKERS[form](tmp_path)
    path.write_bytes(damaged(whole, end, np.random.default_rng([seed, *form.encode()])))
    stack = told(lambda: read_image(path), form)
    if stack is not None:
        assert stack.picture(stack.n_planes // 2).shape == (*stack.plane_shape, 3)
        assert min(stack.spacing) > 0
        if stack.geometry is not None:
            assert np.isfinite(stack.geometry.affine).all()
            target, _ = write_labels(tmp_path / "labels.nii", np.ones(stack.grid, np.uint8), PROMPTS, source=stack)
            assert read_image(target).geometry.lies_like(stack.geometry, 0.05)
    for layer in told(lambda: read_layers(str(path)), form) or ():
        assert np.isfinite(Layer.create(*layer).extent.world).all()
