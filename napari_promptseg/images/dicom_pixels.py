"""Stored values of DICOM planes, decompressed, to real ones: Hounsfield units, signal, colours."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_headers import Frame, ImageHeader
from napari_promptseg.images.dicom_values import pydicom_module, quiet
from napari_promptseg.images.itk_decoder import DECODER
from napari_promptseg.images.readers import native
from napari_promptseg.progress import Progress, silent

#: Modalities whose numbers mean something; they are shown through a window and never turned round.
_MEASURING = ("CT", "MR", "PT", "NM")


def read_planes(frames: Sequence[Frame | None], progress: Progress = silent) -> npt.NDArray[Any]:
    """Read planes, decompressed and rescaled.

    Parameters
    ----------
    frames : sequence of Frame or None
        All of one size; a plane of the lowest value stands for None.
    progress : Progress
        Told of each file.

    Returns
    -------
    numpy.ndarray
        ``(n, rows, columns)``, or ``(n, rows, columns, 3)`` for colours: the smallest integer type that holds
        slope times stored value plus intercept exactly, float32 where these are no whole numbers.

    Raises
    ------
    InputError
        If a file has no pixels, or they are damaged, compressed in a way no decoder is installed for, or of another
        size than the header says.
    """
    wanted: dict[ImageHeader, list[int]] = {}
    for place, frame in enumerate(frames):
        if frame is not None:
            wanted.setdefault(frame.header, []).append(place)
    stored: npt.NDArray[Any] | None = None
    for done, (header, places) in enumerate(wanted.items()):
        progress(done, len(wanted), "Reading DICOM images")
        planes = _decoded(header)
        if stored is None:
            stored = np.zeros((len(frames), *planes.shape[1:]), planes.dtype)
        elif stored.shape[1:] != planes.shape[1:]:
            raise InputError(f"{header.path.name!r} has other colours than the rest of its series.")
        both = np.result_type(stored, planes)
        stored = stored if stored.dtype == both else stored.astype(both)
        for place in places:
            stored[place] = planes[_index(frames[place])]
    if stored is None:
        raise InputError("The series has no plane.")
    if stored.ndim == 4:
        return stored
    values = _rescaled(stored, frames)
    first = next(iter(wanted))
    if first.photometric == "MONOCHROME1" and first.modality not in _MEASURING:
        values = _turned_round(values)
    lacking = [place for place, frame in enumerate(frames) if frame is None]
    if lacking:
        there = np.setdiff1d(np.arange(len(frames)), lacking)
        values[lacking] = min(values[k].min() for k in there)
    return values


def stored_planes(data: Any) -> Iterator[npt.NDArray[Any]]:
    """Stored values ``(rows, columns)`` of one plane after another, as `read_planes` decompresses them.

    What is not compressed is read plane by plane: of bits, all planes at once would take eight times the file. They do
    where planes end within a byte, which pydicom takes apart at once only.

    Parameters
    ----------
    data : pydicom.Dataset
        A whole file.

    Raises
    ------
    InputError
        If the encoding is none, or no decoder is installed for it.
    Exception
        Whatever damaged pixels make a decoder raise.
    """
    from pydicom.pixels import iter_pixels

    syntax = _syntax_of(data)
    in_a_byte = int(data.BitsAllocated) == 1 and int(data.Rows) * int(data.Columns) % 8
    if not syntax.is_encapsulated and not in_a_byte:
        yield from iter_pixels(data)
        return
    try:
        planes = _decompressed(data)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"its pixels cannot be read: {_reason(syntax)}.") from error
    yield from planes.reshape(-1, *planes.shape[-2:])


def same_pixels(one: Frame, other: Frame) -> bool:
    """Whether two planes hold the same values."""
    first, second = (_decoded(frame.header)[frame.index] for frame in (one, other))
    rescaling = (one.slope, one.intercept) == (other.slope, other.intercept)
    return rescaling and np.array_equal(first, second)


def padding_of(frames: Sequence[Frame | None], values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where the values only fill up what was not imaged; None if nowhere."""
    out: npt.NDArray[np.bool_] | None = None
    for place, frame in enumerate(frames):
        if frame is None or frame.header.padding is None or frame.header.is_colour:
            continue
        low, high = sorted(bound * frame.slope + frame.intercept for bound in frame.header.padding)
        found = (values[place] >= low) & (values[place] <= high)
        if found.any():
            out = np.zeros(values.shape, bool) if out is None else out
            out[place] = found
    return out


def _index(frame: Frame | None) -> int:
    return 0 if frame is None else frame.index


def _decoded(header: ImageHeader) -> npt.NDArray[Any]:
    """Every plane of a file, ``(n, rows, columns[, 3])``, as stored or in RGB."""
    name = header.path.name
    pydicom = pydicom_module()
    syntax: Any = None
    try:
        with quiet():
            data = pydicom.dcmread(header.path, force=True)
            if not any(keyword in data for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                raise InputError(f"{name!r} has a header but no pixels: it was not copied or sent in full.")
            try:
                syntax = _syntax_of(data)
            except InputError as error:
                raise InputError(f"{name!r} cannot be read: {error}") from error
            values = _in_colour(_decompressed(data), data, header)
    except (InputError, MemoryError):
        raise
    # a decoder raises whatever a damaged file makes it stumble over
    except Exception as error:
        raise InputError(f"The pixels of {name!r} cannot be read: {_reason(syntax)}.") from error
    shape = (header.n_frames, header.rows, header.columns)
    if values.size != int(np.prod(shape)) * (3 if header.is_colour else 1):
        raise InputError(f"{name!r} holds {values.shape} values, its header says {shape}: it is damaged.")
    return native(values.reshape(*shape, 3) if header.is_colour else values.reshape(shape))


def _syntax_of(data: Any) -> Any:
    """How the values are encoded."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        # from before files named it: as pydicom found the header to be encoded, and never compressed
        data.file_meta.TransferSyntaxUID = _plain_syntax(*data.original_encoding)
    elif not syntax.is_transfer_syntax:
        raise InputError("it is encoded in a way that no one knows, and may be damaged.")
    return data.file_meta.TransferSyntaxUID


def _decompressed(data: Any) -> npt.NDArray[Any]:
    from pydicom.pixels import get_decoder, pixel_array
    from pydicom.uid import RLELossless

    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return np.asarray(pixel_array(data))
    failure: Exception | None = None
    for plugin in get_decoder(syntax).available_plugins:
        # gdcm's own module ends the whole program where a compressed plane is damaged, and the user's work with it
        if plugin == "gdcm":
            continue
        try:
            return np.asarray(pixel_array(data, decoding_plugin=plugin))
        # the next one may be able to
        except Exception as error:
            failure = error
    if failure is not None and syntax == RLELossless:
        # pydicom's own decoder knows all there is to it
        raise failure
    try:
        return _by_itk(data)
    except Exception as error:
        raise error from failure


def _by_itk(data: Any) -> npt.NDArray[Any]:
    """Stored values from a copy that holds nothing but them, so that ITK rescales nothing; lossless JPEG needs it."""
    from pydicom.dataset import Dataset

    bare = Dataset()
    for element in data:
        if element.tag.group == 0x0028 and element.keyword not in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            bare.add(element)
    bare.PixelData = data.PixelData
    bare["PixelData"].is_undefined_length = True
    bare.SOPClassUID, bare.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    bare.file_meta = data.file_meta
    bare.file_meta.MediaStorageSOPClassUID, bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPClassUID, "1.2.3"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plane.dcm")
        bare.save_as(path, enforce_file_format=True)
        return DECODER.decode(path)


def _plain_syntax(implicit: bool | None, little: bool | None) -> str:
    from pydicom import uid

    if implicit is not False:
        return str(uid.ImplicitVRLittleEndian)
    return str(uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian)


def _in_colour(values: npt.NDArray[Any], data: Any, header: ImageHeader) -> npt.NDArray[Any]:
    """Through the tables that a file may bring: colours of a palette, or real values that no slope gives."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    if header.photometric == "PALETTE COLOR":
        coloured: npt.NDArray[Any] = apply_color_lut(values, data)
        # tables that call themselves 16 bits wide hold 8 as often as not
        return (coloured[..., :3] >> (8 if coloured.max() > 255 else 0)).astype(np.uint8)
    if not header.is_colour and data.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, data))
    return values


def _reason(syntax: Any) -> str:
    if syntax is None or not syntax.is_compressed:
        return "fewer than the header says, or damaged; copy or send the file again"
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGTransferSyntaxes

    by_itk = syntax in JPEGTransferSyntaxes and importlib.util.find_spec("SimpleITK") is not None
    try:
        known = by_itk or get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if known:
        return f"the file may be damaged, or its kind of {syntax.name} is not supported; decompress it elsewhere first"
    return (
        f'no decoder for {syntax.name} is installed; pip install "napari-promptseg[medical]" brings most, '
        "or decompress the series elsewhere first"
    )


def _rescaled(stored: npt.NDArray[Any], frames: Sequence[Frame | None]) -> npt.NDArray[Any]:
    scales = [(1.0, 0.0) if f is None else (f.slope, f.intercept) for f in frames]
    if all(scale == (1.0, 0.0) for scale in scales):
        return stored
    if stored.dtype.kind not in "ui" or any(v != round(v) for scale in scales for v in scale):
        real = np.empty(stored.shape, np.float32)
        for place, (slope, intercept) in enumerate(scales):
            # in float64, so that one rounding is all that happens
            real[place] = stored[place] * np.float64(slope) + intercept
        return real
    ends = [
        int(end) * int(slope) + int(intercept)
        for plane, frame, (slope, intercept) in zip(stored, frames, scales, strict=True)
        if frame is not None
        for end in (plane.min(), plane.max())
    ]
    out = np.zeros(stored.shape, _smallest_type(min(ends), max(ends)))
    for place, (frame, (slope, intercept)) in enumerate(zip(frames, scales, strict=True)):
        if frame is not None:
            out[place] = stored[place].astype(np.int64) * int(slope) + int(intercept)
    return out


def _smallest_type(low: int, high: int) -> type[np.generic]:
    """16 bits where they are enough: torch and the encoders' pictures are at home in them."""
    for kind in (np.int16, np.uint16, np.int32, np.uint32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    return np.int64


def _turned_round(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Light for dark within the range that occurs: X-rays on which small values are meant to be white."""
    if values.dtype.kind == "f":
        turned: npt.NDArray[Any] = values.max() + values.min() - values
        return turned
    low, high = int(values.min()), int(values.max())
    turned = (low + high - values.astype(np.int64)).astype(values.dtype)
    return turned
