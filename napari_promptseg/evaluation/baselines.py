"""What others do with the same pixels: classical filters with a random forest, and napari-convpaint."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import ModelError
from napari_promptseg.learning.corrections import UNPAINTED

Labels = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]


class RandomForest:
    """scikit-image's `multiscale_basic_features` and a random forest, as ilastik and trainable segmentation do.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    seed : int

    Notes
    -----
    Intensity, edges and texture at sigma 1 to 16, 100 trees of any depth (scikit-learn's default); ilastik has the same
    kinds of filters at sigma 0.3 to 10 and 100 trees.

    Raises
    ------
    ModelError
        If scikit-learn is not installed.
    """

    name = "random_forest"

    def __init__(self, picture: Picture, *, seed: int = 0) -> None:
        basic_features: Any = import_module("skimage.feature").multiscale_basic_features
        try:
            from sklearn.ensemble import RandomForestClassifier
        except ImportError as error:
            raise ModelError("The random forest needs scikit-learn: pip install scikit-learn.") from error
        self._make: Callable[[], Any] = lambda: RandomForestClassifier(
            100, n_jobs=2, random_state=seed, class_weight="balanced"
        )
        features: npt.NDArray[Any] = basic_features(picture, channel_axis=-1, sigma_min=1, sigma_max=16)
        self._features = features.astype(np.float32)

    def segment(self, painted: npt.NDArray[np.int64]) -> Labels:
        """Fit on the painted pixels and predict all others."""
        known = painted != UNPAINTED
        forest = self._make().fit(self._features[known], painted[known])
        guess = forest.predict(self._features.reshape(-1, self._features.shape[-1]))
        return np.where(known, painted, guess.reshape(painted.shape))


class Convpaint:
    """napari-convpaint through its own API, with the feature extractor it can load without a network.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    alias : str
        One of its model aliases. Its default, VGG16, and DINO fetch weights on first use; ``"gaussian"`` does not.

    Raises
    ------
    ModelError
        If napari-convpaint is not installed or cannot make the model.
    """

    name = "convpaint"

    def __init__(self, picture: Picture, *, alias: str = "gaussian") -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ConvpaintModel = import_module("napari_convpaint.convpaint_model").ConvpaintModel
        except ImportError as error:
            raise ModelError(f"napari-convpaint cannot be imported ({error}): pip install napari-convpaint.") from error
        try:
            self._model = ConvpaintModel(alias)
            self._model.set_param("channel_mode", "rgb", ignore_warnings=True)
        except Exception as error:  # a peer's own failures are of any type, and are reported as they are
            raise ModelError(f"napari-convpaint cannot load its model {alias!r} ({error}).") from error
        self._image = np.ascontiguousarray(np.moveaxis(picture, -1, 0))

    def segment(self, painted: npt.NDArray[np.int64]) -> Labels:
        """Train on the painted pixels and segment; its labels begin at 1, with 0 for nothing painted."""
        known = painted != UNPAINTED
        annotations = np.where(known, painted + 1, 0)
        # Its classifier reports every iteration on standard output, which belongs to the benchmark's figures.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            self._model.reset_training()
            self._model.reset_classifier()
            self._model.train(self._image, annotations)
            guess = np.asarray(self._model.segment(self._image)).astype(np.int64) - 1
        return np.where(known, painted, guess.reshape(painted.shape))
