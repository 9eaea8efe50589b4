"""Which prediction and which reference are one case: by their path below the two folders, and usual names of files."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from medssm.data.layouts.scans.dataset import read_datalist
from medssm.data.layouts.scans.layout import image_and_label_folders
from medssm.data.scans.case_names import without_label_words, without_words
from medssm.data.scans.finding import find_volumes
from medssm.data.scans.organ_masks import (
    LabelLayers,
    case_and_organ,
    is_organ_name,
    read_label_file,
    read_organ_masks,
)
from medssm.data.scans.plausibility import is_label_map
from medssm.data.scans.volume import read_volume, volume_stem
from medssm.errors import DataError


class LabelFiles(NamedTuple):
    """The label map of one case: a file, or a folder with a mask for each organ.

    Attributes:
        path: the file or the folder.
        masks: the files of the folder; empty where `path` is a file.
        place: names of the folders between the root and the file, and the file's name without its format.
        names: of the labels where the file itself has none, as the list of a dataset gives them.
    """

    path: Path
    masks: tuple[Path, ...]
    place: tuple[str, ...]
    names: Mapping[int, str] = MappingProxyType({})

    @property
    def case(self) -> str:
        """The path below the root without words that say that this is a label map."""
        return _joined(*self.place[:-1], without_label_words(self.place[-1]))

    @property
    def loose_case(self) -> str:
        """The same, also without words that say which image was segmented."""
        return _joined(*self.place[:-1], without_words(self.place[-1]))

    @property
    def is_labelled(self) -> bool:
        """Whether the name says that this is a label map."""
        return bool(self.masks) or without_label_words(self.place[-1]) != self.place[-1]

    def read(self) -> LabelLayers:
        """The label map."""
        case = self.place[-1] if all(volume_stem(mask).startswith(self.place[-1]) for mask in self.masks) else ""
        layers = read_organ_masks(self.masks, case) if self.masks else read_label_file(self.path)
        return replace(layers, names=layers.names or dict(self.names))


class CaseFiles(NamedTuple):
    """A prediction and its reference."""

    name: str
    prediction: LabelFiles
    reference: LabelFiles


class Pairing(NamedTuple):
    """The cases, and the references and predictions that have no partner."""

    cases: list[CaseFiles]
    without_prediction: list[Path]
    without_reference: list[Path]


def pair(predictions: Path, references: Path) -> Pairing:
    """The cases of two label maps or two folders.

    Two single files are one case. In folders the path below the root decides, first as it stands, then without words
    such as `_seg` and `label`, then without those that name the image, such as `_0000` and `img`; where one side has
    no folders the file's name alone does.

    Raises: DataError if there is no case, or if several files have the name of one case.
    """
    found, wanted = label_maps_in(predictions), label_maps_in(references)
    if _is_one(predictions, found) and _is_one(references, wanted):
        return Pairing([CaseFiles(_own_name(wanted[0]), found[0], wanted[0])], [], [])
    partners: dict[Path, LabelFiles] = {}
    for key in (_whole, lambda files: files.case, lambda files: files.loose_case, _last):
        alone = [files for files in wanted if files.path not in partners]
        free = [files for files in found if files not in partners.values()]
        partners |= _matches(free, alone, key)
    if not partners:
        raise DataError(
            f"{predictions}: no label map has the name of a case in {references} "
            f"(found {_shown(found)}; expected {_shown(wanted)})"
        )
    names = Counter(_own_name(files) for files in wanted)
    cases = [
        CaseFiles(name if names[name := _own_name(files)] == 1 else _whole(files), partners[files.path], files)
        for files in wanted
        if files.path in partners
    ]
    unasked = [files for files in found if files not in partners.values()]
    missing = [files for files in wanted if files.path not in partners]
    return Pairing(cases, _label_maps(missing, wanted), _label_maps(unasked, found))


def scans_of_cases(scans: Path, cases: Iterable[str]) -> dict[str, Path]:
    """Case -> its scan, of the scan or the folder of scans; a case whose scan is not there is left out.

    Raises: DataError if several scans have the name of one case.
    """
    found = _listed(scans)
    unlabelled = [files for files in found if not files.is_labelled] or found
    by_case: dict[str, Path] = {}
    for case in cases:
        *folders, name = case.split("/")
        exact = [files.path for files in unlabelled if files.case == case]
        near = exact or [
            files.path for files in unlabelled if files.loose_case == _joined(*folders, without_words(name))
        ]
        if len(near) > 1:
            raise _ambiguous(near, case)
        if near:
            by_case[case] = near[0]
    return by_case


def label_maps_in(path: Path) -> list[LabelFiles]:
    """The label maps that `path` means, in the order of their names; scans beside them are left out.

    Where a folder holds `case1_seg.nii.gz` and `case1.nii.gz`, the second one is taken for the scan. The files of a
    folder are masks of organs if one has an organ's name (`liver.nii.gz`), with that of its case before it
    (`pat1_liver.nii.gz`) where several lie in one folder, or if their names come again in another
    folder and the first of them is binary.

    Of a dataset, which is a folder with imagesTr and labelsTr or a list in JSON or CSV, they are those of its cases.

    Raises: FileNotFoundError if there is nothing at `path`; DataError if a folder holds no scan, or a dataset no label
        map.
    """
    if not path.exists():
        raise FileNotFoundError(2, "no such file or folder", str(path))
    if _is_dataset(path):
        return _of_dataset(path)
    listed = [files for files in _listed(path) if not volume_stem(files.path).endswith("_prob")]
    if path.is_file():
        return listed
    by_folder: dict[tuple[str, ...], list[LabelFiles]] = {}
    for files in listed:
        by_folder.setdefault(files.place[:-1], []).append(files)
    chosen: list[LabelFiles] = []
    labelled = {folder: _without_scans(inside) for folder, inside in by_folder.items()}
    for folder, inside in by_folder.items():
        if flat := _flat_masks(inside):
            chosen += flat
        elif any(is_organ_name(files.place[-1]) for files in inside):
            chosen.append(_mask_folder(inside))
        elif _come_again(folder, labelled) and _is_binary(labelled[folder][0].path):
            chosen.append(_mask_folder(labelled[folder]))
        else:
            chosen += labelled[folder]
    masked = {files.loose_case for files in chosen if files.masks}
    return [files for files in chosen if files.is_labelled or files.loose_case not in masked]


def _is_dataset(path: Path) -> bool:
    if path.is_dir():
        return image_and_label_folders(path) is not None
    return path.suffix.lower() in (".json", ".csv")


def _of_dataset(path: Path) -> list[LabelFiles]:
    """The label maps of the cases of a dataset, each under the name of its case."""
    dataset = read_datalist(path)
    cases = {case.reference: case for case in dataset.cases if case.label is not None}
    if not cases:
        raise DataError(f"{dataset.source}: none of its cases has a label map; give the folder with the label maps")
    return [
        LabelFiles(label, case.masks, tuple(case.id.split("/")), dataset.label_names) for label, case in cases.items()
    ]


def read_label_map(path: Path) -> LabelLayers:
    """The label map in a file, or in a folder with a mask for each organ.

    Raises: DataError if there is none, or more than one in a folder.
    """
    found = label_maps_in(path)
    if len(found) != 1:
        raise DataError(f"{path}: holds {len(found)} label maps; give one of them")
    return found[0].read()


def _listed(path: Path) -> list[LabelFiles]:
    root = path if path.is_dir() else path.parent
    return [LabelFiles(file, (), _place(file, root)) for file in find_volumes(path)]


def _place(file: Path, root: Path) -> tuple[str, ...]:
    return (*file.relative_to(root).parts[:-1], volume_stem(file))


def _without_scans(inside: list[LabelFiles]) -> list[LabelFiles]:
    """The files of a folder without those that have the case of a label map by their names, and look like no labels."""
    named = {files.loose_case for files in inside if files.is_labelled}
    return [
        files for files in inside if files.is_labelled or files.loose_case not in named or _holds_labels(files.path)
    ]


def _holds_labels(path: Path) -> bool:
    try:
        return is_label_map(read_volume(path))
    except DataError:  # whatever it is, it is not needed
        return False


def _come_again(folder: tuple[str, ...], by_folder: Mapping[tuple[str, ...], list[LabelFiles]]) -> bool:
    """Whether two names of a folder are those of files in another folder as well."""
    own = {files.place[-1] for files in by_folder[folder]}
    others = (inside for other, inside in by_folder.items() if other != folder)
    return any(len(own & {files.place[-1] for files in inside}) > 1 for inside in others)


def _is_binary(path: Path) -> bool:
    first = read_label_file(path)
    highest = int(first.layers[0].max(initial=0))
    return not first.names and bool(((first.layers[0] == 0) | (first.layers[0] == highest)).all())


def _mask_folder(inside: Sequence[LabelFiles]) -> LabelFiles:
    folder = inside[0].path.parent
    place = inside[0].place[:-1]
    if not place:  # the folder is the root itself
        place = (folder.resolve().parent.name, folder.resolve().name)
    return LabelFiles(folder, tuple(files.path for files in inside), place)


def _flat_masks(inside: Sequence[LabelFiles]) -> list[LabelFiles]:
    """The masks of each case of a folder whose files are called by the case and the organ; none if they are not.

    Label maps beside them stay what they are; files that are not called so are taken for scans, and left out.
    """
    by_case: dict[str, list[LabelFiles]] = {}
    for files in inside:
        if found := case_and_organ(files.place[-1]):
            by_case.setdefault(found[0], []).append(files)
    if not any(len(masks) > 1 for masks in by_case.values()):
        return []
    labelled = [files for files in inside if files.is_labelled and not case_and_organ(files.place[-1])]
    return labelled + [
        LabelFiles(masks[0].path.with_name(case), tuple(mask.path for mask in masks), (*masks[0].place[:-1], case))
        for case, masks in by_case.items()
    ]


def _is_one(path: Path, found: list[LabelFiles]) -> bool:
    """Whether the path itself is one label map, rather than a folder of them."""
    return path.is_file() or (len(found) == 1 and found[0].path == path)


def _label_maps(alone: list[LabelFiles], files_of_side: list[LabelFiles]) -> list[Path]:
    """Those without a partner that may be label maps: not scans that lie in one folder with files named as these."""
    folders = {files.place[:-1] for files in files_of_side if files.is_labelled}
    return [files.path for files in alone if files.is_labelled or files.place[:-1] not in folders]


def _own_name(files: LabelFiles) -> str:
    return files.case or files.loose_case or files.place[-1]


def _whole(files: LabelFiles) -> str:
    return _joined(*files.place)


def _last(files: LabelFiles) -> str:
    return files.loose_case.rpartition("/")[2]


def _matches(
    found: list[LabelFiles], wanted: list[LabelFiles], key: Callable[[LabelFiles], str]
) -> dict[Path, LabelFiles]:
    """The path of a reference -> its prediction, where the two have one key that no other has."""
    by_key: dict[str, tuple[list[LabelFiles], list[LabelFiles]]] = {}
    for side, files_of_side in enumerate((found, wanted)):
        for files in files_of_side:
            by_key.setdefault(key(files), ([], []))[side].append(files)
    partners = {}
    for name, (predictions, references) in by_key.items():
        if not predictions or not references:
            continue
        if key is _last and (not name or not _one_is_flat(predictions, references)):
            continue
        for several in (predictions, references):
            if len(several) > 1:
                raise _ambiguous([files.path for files in several], name)
        partners[references[0].path] = predictions[0]
    return partners


def _one_is_flat(predictions: list[LabelFiles], references: list[LabelFiles]) -> bool:
    """Whether the files of one side lie in its root: folders that differ are different patients."""
    return any(all(len(files.place) == 1 for files in side) for side in (predictions, references))


def _ambiguous(several: Sequence[Path], case: str) -> DataError:
    return DataError(
        f"{', '.join(map(str, several[:3]))}: {len(several)} files have the name of case {case or several[0].name!r}; "
        "leave one of them, or give two files"
    )


def _shown(files: list[LabelFiles]) -> str:
    return ", ".join(_own_name(entry) for entry in files[:3])


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
