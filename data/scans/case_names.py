"""What the name of a scan's or a label map's file says: which case it belongs to, and whose scan it is."""

import re
from pathlib import Path

from medssm.data.scans.volume import volume_suffix

# Words around a case's name that say that a file is a label map, or which image it is.
_LABEL = r"(?:seg|segmentations?|labels?|masks?|structures|gt|groundtruth|pred|predictions?)"
_IMAGE = r"(?:img|image|imaging|volume|scan|ct|cta|mr|mri|pet|t1|t1n|t1c|t1ce|t1w|t1gd|t2|t2w|t2f|flair|adc|dwi)"
_GAPS = "-_. "
_GAP = f"[{_GAPS}]"
_LABEL_WORDS = re.compile(rf"(?:^|{_GAP}){_LABEL}$|^{_LABEL}(?={_GAP}|\d)", re.IGNORECASE)
_IMAGE_WORDS = re.compile(rf"(?:^|{_GAP}){_IMAGE}$|{_GAP}0000$|^{_IMAGE}(?={_GAP}|\d)", re.IGNORECASE)

# Words for one of several scans of a patient, after a name with a number: patient001_frame01, 0012_visit2, A1_ED.
_OCCASION = (
    r"(?:frame|visit|ses|session|time|timepoint|tp|phase|scan|series|study|run|fu|followup|day|week|month)[-_]?\d+"
    r"|baseline|ed|es|pre|post|inhale|exhale|insp|exp|art|arterial|pv|portal|venous|delayed|left|right|lt|rt|l|r"
)
_PERSON = r"(?:patient|pat|subject|subj|sub|pid|pt|p)[-_]?"
_PATIENTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(sub-[a-z0-9]+)_.+",  # BIDS
        r"(brats-[a-z]+-\d+)-\d+.*",  # the challenges of BraTS since 2023: patient, then time
        r"(\d+)_\d+",  # PI-CAI: patient, then study
        rf"({_PERSON}[a-z]*\d+){_GAP}.+",
        rf"(.*\d.*?){_GAP}(?:{_OCCASION})(?:{_GAP}.*)?",
    )
)
_PERSON_FOLDER = re.compile(rf"{_PERSON}[a-z]*\d+", re.IGNORECASE)


def without_label_words(stem: str) -> str:
    """A file's name without words that say that it is a label map.

    >>> without_label_words("img0035_seg"), without_label_words("label0035"), without_label_words("segmentation-1")
    ('img0035', '0035', '1')
    """
    return _without(_LABEL_WORDS, stem)


def without_words(stem: str) -> str:
    """The same, also without words that say which image it belongs to.

    >>> without_words("img0035_seg"), without_words("case_001_ct_0000_seg"), without_words("BraTS-001-t1n_seg")
    ('0035', 'case_001', 'BraTS-001')
    """
    bare = without_label_words(stem)
    while (shorter := _without(_IMAGE_WORDS, bare)) != bare:
        bare = shorter
    return bare


def patient_named(image: Path) -> str:
    """Whose scan a file is, by its name and its folder's in the spellings of public data sets; else the name itself.

    >>> [patient_named(Path(name)) for name in ("patient001_frame12.nii.gz", "sub-07_ses-2_T1w.nii", "liver_12.nii.gz")]
    ['patient001', 'sub-07', 'liver_12']
    >>> patient_named(Path("pat7/early.nii.gz"))
    'pat7'
    """
    stem, folder = stem_of(image), image.parent.name
    if not without_words(stem):  # case_00000/imaging.nii.gz
        stem = folder
    for pattern in _PATIENTS:
        if match := pattern.fullmatch(stem):
            return match[1]
    return folder if _PERSON_FOLDER.fullmatch(folder) else stem


def stem_of(file: Path) -> str:
    """A file's name without the ending of a format and without nnU-Net's number of a first channel."""
    return file.name[: len(file.name) - len(volume_suffix(file))].removesuffix("_0000")


def _without(words: re.Pattern[str], stem: str) -> str:
    shorter = words.sub("", stem)
    return shorter if shorter == stem else shorter.lstrip(_GAPS)
