"""The thousand ImageNet names as sentences the text tower can read."""

from __future__ import annotations


def imagenet_names() -> list[list[str]]:
    """Per ImageNet class its names, the plainest first.

    OpenCLIP's curated name and WordNet's lemmas (as timm lists them), without repeats.
    """
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    names = []
    for index, plain in enumerate(IMAGENET_CLASSNAMES):
        lemmas = [part.strip() for part in info.index_to_description(index).split(",")]
        names.append(list(dict.fromkeys([plain, *lemmas])))
    return names
