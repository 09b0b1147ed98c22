"""What DICOM calls the things that people name: codes of SNOMED CT for common organs and findings."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

#: Scheme of names that are in no table, as the standard has it for private ones.
OWN_SCHEME = "99PROMPTSEG"

#: pydicom's names of categories (CID 7150) and of what falls under each; several spellings of a name by ``|``.
_TABLE: dict[str, dict[str, str]] = {
    "AnatomicalStructure": {
        "liver": "Liver",
        "spleen": "Spleen",
        "pancreas": "Pancreas",
        "stomach": "Stomach",
        "duodenum": "Duodenum",
        "esophagus|oesophagus": "Esophagus",
        "small intestine|small bowel": "SmallIntestine",
        "colon|large bowel": "Colon",
        "rectum": "Rectum",
        "gallbladder|gall bladder": "Gallbladder",
        "kidney": "Kidney",
        "adrenal gland|adrenal": "AdrenalGland",
        "bladder|urinary bladder": "Bladder",
        "prostate": "Prostate",
        "uterus": "Uterus",
        "ovary": "Ovary",
        "breast": "Breast",
        "lung": "Lung",
        "trachea": "Trachea",
        "heart": "Heart",
        "left ventricle": "LeftVentricle",
        "right ventricle": "RightVentricle",
        "left atrium": "LeftAtrium",
        "right atrium": "RightAtrium",
        "aorta": "Aorta",
        "inferior vena cava": "InferiorVenaCava",
        "portal vein": "PortalVein",
        "artery": "Artery",
        "vein": "Vein",
        "blood vessel|vessel": "BloodVessel",
        "brain": "Brain",
        "hippocampus": "Hippocampus",
        "amygdala": "Amygdala",
        "thalamus": "Thalamus",
        "caudate nucleus|caudate": "CaudateNucleus",
        "putamen": "Putamen",
        "cerebellum": "Cerebellum",
        "brain stem|brainstem": "BrainStem",
        "lateral ventricle": "LateralVentricle",
        "spinal cord": "SpinalCord",
        "optic nerve": "OpticNerve",
        "eye": "Eye",
        "parotid gland|parotid": "ParotidGland",
        "thyroid|thyroid gland": "Thyroid",
        "lymph node": "LymphNode",
        "vertebra": "Vertebra",
        "rib": "Rib",
        "sternum": "Sternum",
        "clavicle": "Clavicle",
        "scapula": "Scapula",
        "humerus": "Humerus",
        "femur": "Femur",
        "hip": "Hip",
        "sacrum": "Sacrum",
        "pelvis": "Pelvis",
        "skull": "Skull",
        "mandible": "Mandible",
    },
    "Tissue": {
        "bone": "Bone",
        "muscle": "Muscle",
        "fat|adipose tissue": "AdiposeTissue",
        "skin": "Skin",
        "cartilage": "Cartilage",
        "white matter": "WhiteMatter",
        "gray matter|grey matter": "GrayMatter",
        "cerebrospinal fluid|csf": "CerebrospinalFluid",
        "blood": "Blood",
    },
    "MorphologicallyAbnormalStructure": {
        "tumor|tumour": "Tumor",
        "neoplasm": "Neoplasm",
        "lesion": "Lesion",
        "mass": "Mass",
        "nodule": "Nodule",
        "cyst": "Cyst",
        "edema|oedema": "Edema",
        "necrosis": "Necrosis",
        "hemorrhage|haemorrhage": "Hemorrhage",
        "hematoma|haematoma": "Hematoma",
    },
}

#: Spelling to category and type, as pydicom names them.
_KNOWN = {
    spelling: (category, name)
    for category, rows in _TABLE.items()
    for spellings, name in rows.items()
    for spelling in spellings.split("|")
}


@dataclass(frozen=True)
class Coded:
    """A segment's property as DICOM wants it said.

    Parameters
    ----------
    category, kind : pydicom.sr.coding.Code
        What sort of thing it is, and which.
    side : pydicom.sr.coding.Code, optional
        Left or right, of things that come in pairs.
    """

    category: Any
    kind: Any
    side: Any = None


def coded(name: str) -> Coded:
    """The codes of a class by its name: ``"left kidney"``, ``"tumour"``.

    A name that is in no table keeps its own words, under a private scheme.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    words = " ".join(re.sub(r"[_\W]+", " ", name.casefold()).split())
    for spelling, side in (words, ""), *_without_side(words):
        found = _KNOWN.get(spelling) or _KNOWN.get(_singular(spelling))
        if found is not None:
            category, kind = (getattr(codes.SCT, pydicom_name) for pydicom_name in found)
            return Coded(category, kind, getattr(codes.SCT, side) if side else None)
    # a value that stays the same for the same name, so that a viewer groups its segments
    value = f"{zlib.crc32(words.encode()):08X}"
    return Coded(
        codes.SCT.SpatialAndRelationalConcept, Code(value, OWN_SCHEME, name.replace("\\", "/")[:64].strip() or value)
    )


def _without_side(words: str) -> list[tuple[str, str]]:
    found = []
    for word, side in (("left", "Left"), ("right", "Right")):
        if word in words.split():
            found.append((" ".join(w for w in words.split() if w != word), side))
    # "left and right" names no side
    return found if len(found) == 1 else []


def _singular(words: str) -> str:
    return words[:-1] if words.endswith("s") else words
