"""Names and colours of labels inside the file, as other programs read them.

NIfTI: the XML label table of Caret in a header extension, as TotalSegmentator writes it: with extension code 0, because
nibabel does not hand out the content of an extension with Caret's own code, 30.
NRRD and MetaImage: the key/value pairs of 3D Slicer's segmentation format.
"""

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from nibabel.nifti1 import Nifti1Extension

from medssm.data.scans.organs import colour_of

_PLAIN_EXTENSION = 0
_DIGITS = 10  # of a label value
_LONGEST_TABLE = 1 << 20  # bytes; that of TotalSegmentator's 117 labels has 15,000


def nifti_extension(names: Mapping[int, str]) -> Nifti1Extension:
    """The header extension that holds `names`, label value -> name."""
    root = ElementTree.Element("CaretExtension")
    volume = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(volume, "LabelTable")
    for label, name in names.items():
        red, green, blue = (f"{part / 255:.6f}" for part in colour_of(label))
        row = {"Key": str(label), "Red": red, "Green": green, "Blue": blue, "Alpha": "1"}
        ElementTree.SubElement(table, "Label", row).text = name
    ElementTree.SubElement(volume, "StudyMetaDataLinkSet")
    ElementTree.SubElement(volume, "VolumeType").text = "Label"
    return Nifti1Extension(_PLAIN_EXTENSION, ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def names_in_nifti(extensions: Iterable[bytes]) -> tuple[dict[int, str], tuple[str, ...]]:
    """The label names in the contents of a NIfTI header's extensions, and what is wrong with their table.

    A table is damaged as a whole: of one that is cut off nobody knows which names are missing.
    """
    for content in extensions:
        if b"<LabelTable" in content:
            try:
                return _names_in_table(content), ()
            except (ElementTree.ParseError, UnicodeDecodeError, KeyError, ValueError):
                return {}, ("its table of label names is damaged, so its labels have no names",)
    return {}, ()


def _names_in_table(content: bytes) -> dict[int, str]:
    if len(content) > _LONGEST_TABLE or b"<!DOCTYPE" in content:
        raise ValueError("no table of names")
    rows = ElementTree.fromstring(content.rstrip(b"\0 \n").decode()).iter("Label")
    found = {row.attrib["Key"]: (row.text or "").strip() for row in rows}
    if not all(map(is_label, found)):
        raise ValueError("keys that are no labels")
    return {int(key): name for key, name in found.items()}


def slicer_fields(names: Mapping[int, str]) -> dict[str, str]:
    """The key/value pairs that 3D Slicer reads as a segmentation of one layer."""
    fields = {"Segmentation_MasterRepresentation": "Binary labelmap"}
    for index, (label, name) in enumerate(names.items()):
        fields |= {
            f"Segment{index}_ID": f"Segment_{label}",
            f"Segment{index}_Name": name,
            f"Segment{index}_LabelValue": str(label),
            f"Segment{index}_Layer": "0",
            f"Segment{index}_Color": " ".join(f"{part / 255:.6f}" for part in colour_of(label)),
        }
    return fields


def is_label(text: str) -> bool:
    """Whether a text of a file is a label value."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS
