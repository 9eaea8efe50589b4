"""What a list declares of its labels and channels, in the Decathlon's words or nnU-Net's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medssm.data.layouts.scans.channels import channel_names
from medssm.data.layouts.scans.layout import list_in, read_json
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.labelled import HIGHEST_LABEL
from medssm.errors import DataError, one_line, quoted

_LABELS = '"labels": {"0": "background", "1": "spleen"}'
HOW_NAMED = f'{{{_LABELS}, "modality": {{"0": "CT"}}}}'


class Declared(NamedTuple):
    """What the cases of a list are of.

    Attributes:
        label_names: label value -> name, without background.
        ignored: the value of voxels of which nothing is known, which nnU-Net calls "ignore".
        channel_names: one per channel of an image; empty where nothing is said.
    """

    label_names: dict[int, str]
    ignored: int | None = None
    channel_names: tuple[str, ...] = ()

    def annotated(self, source: Path, case: str, said: Any) -> frozenset[int] | None:
        """The label values that a list says were drawn in a case, by their names or values; None where it says nothing.

        Raises: DataError if the list is none, or one of them is not among the labels.
        """
        if said is None or said == "":
            return None
        given = [part.strip() for part in said.split(";")] if isinstance(said, str) else said
        by_name = {name.casefold(): value for value, name in self.label_names.items()}
        values = set()
        for entry in given if isinstance(given, list) else [given]:
            value = by_name.get(str(entry).casefold(), int(entry) if str(entry).isdecimal() else None)
            if value not in self.label_names or isinstance(entry, bool):
                raise DataError(
                    f"{source}: case {quoted(case)} has {quoted(entry)} among its 'annotated' labels, which is none of "
                    f"{one_line(', '.join(self.label_names.values()), 100)}; correct it"
                )
            values.add(value)
        return frozenset(values)

    def of(self, cases: Iterable[ScanCase]) -> tuple[ScanCase, ...]:
        """The cases with what is said of all of them."""
        return tuple(replace(case, ignored=self.ignored) for case in cases)


def declared(path: Path, content: Mapping[str, Any]) -> Declared:
    """What a list says.

    Raises: DataError if labels are no numbers with a name each, or two have one name.
    """
    values = _labels(path, content.get("labels"))
    ignored = next((value for value, name in values.items() if name.casefold() == "ignore"), None)
    names = {value: name for value, name in values.items() if value not in (0, ignored)}
    if too_high := [value for value in names if value > HIGHEST_LABEL]:
        raise DataError(
            f"{path}: 'labels' names the value {too_high[0]} ({quoted(names[too_high[0]])}), but a network's labels go "
            f"up to {HIGHEST_LABEL}; renumber the label maps"
        )
    return Declared(names, ignored, _channels(path, content))


def declared_beside(folder: Path, otherwise: Declared | None = None) -> Declared:
    """What the dataset.json of a folder says of cases that it does not list.

    Args:
        otherwise: what a layout knows by itself, where there is none.

    Raises: DataError if there is none, or it cannot be understood.
    """
    path = list_in(folder)
    if path is None and otherwise:
        return otherwise
    if path is None:
        raise DataError(f"{folder}: nothing names the labels; write {folder / 'dataset.json'} with {HOW_NAMED}")
    said = declared(path, as_object(path, read_json(path)))
    return said._replace(channel_names=said.channel_names or (otherwise.channel_names if otherwise else ()))


def as_object(path: Path, content: Any) -> Mapping[str, Any]:
    """The content of a list. Raises: DataError if it is no object."""
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no JSON object; write a Decathlon or nnU-Net datalist")
    return content


def name_of_list(content: Mapping[str, Any], path: Path) -> str:
    """What a list calls its dataset, else the folder's name."""
    return one_line(str(content.get("name") or path.parent.resolve().name), 100)


Part = Literal["training", "validation", "test"]
PARTS: tuple[Part, ...] = ("training", "validation", "test")
Parts = Mapping[Part, Sequence[ScanCase]]


def dataset_of(said: Declared, name: str, source: Path, parts: Parts, unused: Sequence[Path] = ()) -> ScanDataset:
    """The dataset of some cases with what is said of them; each case has a name of its own.

    Images that are all called alike (s0001/ct.nii.gz) are named by their folders.

    Args:
        source: the file that lists the cases, or the folder if none does.

    Raises: DataError if a case has other channels than the list says, or than the other cases.
    """
    folder = source if source.is_dir() else source.parent
    images = {case.image: case.id for cases in parts.values() for case in cases}
    taken = Counter(images.values())
    unique = {image: id if taken[id] == 1 else _by_path(image, folder) for image, id in images.items()}

    def finished(part: Part) -> tuple[ScanCase, ...]:
        return said.of(replace(case, id=unique[case.image]) for case in parts.get(part, ()))

    training, validation, test = finished("training"), finished("validation"), finished("test")
    names = said.label_names
    channels = channel_names(source, said.channel_names, training + validation + test)
    return ScanDataset(name, folder, source, training, validation, test, names, channels, tuple(unused))


def _by_path(image: Path, folder: Path) -> str:
    inside = image.relative_to(folder) if image.is_relative_to(folder) else image
    return "/".join(part for part in inside.parts if part not in ("/", ".", ".."))


def _labels(path: Path, labels: Any) -> dict[int, str]:
    """Label value -> name, from {"1": "spleen"} (Decathlon) or {"spleen": 1} (nnU-Net)."""
    if labels is None:
        raise DataError(f"{path}: names no labels; add such as {_LABELS} to it")
    if not isinstance(labels, Mapping):
        raise _not_labels(path, labels)
    pairs = [(key, value) if str(key).isdecimal() else (value, key) for key, value in labels.items()]
    values: dict[int, str] = {}
    for value, name in pairs:
        if not isinstance(value, int | str) or not isinstance(name, str | int) or not str(value).strip().isdecimal():
            raise _not_labels(path, labels)
        number = int(str(value).strip()[:10])
        if number in values:
            both = f"{quoted(values[number])} and {quoted(str(name))}"
            raise DataError(f"{path}: 'labels' gives the value {number} two names, {both}; correct it")
        values[number] = one_line(str(name), 100)
    if repeated := [name for name, count in Counter(values.values()).items() if count > 1]:
        raise DataError(f"{path}: 'labels' gives several values the name {quoted(repeated[0])}; correct it")
    return dict(sorted(values.items()))


def _not_labels(path: Path, labels: Any) -> DataError:
    return DataError(
        f"{path}: 'labels' must give each value one name, such as {{'0': 'background', '1': 'spleen'}} "
        f"(regions of several values are not supported); found {quoted(labels)}"
    )


def _channels(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of an image's channels, if they are named."""
    said = content.get("channel_names", content.get("modality")) or ()
    listed = said.values() if isinstance(said, Mapping) else said if isinstance(said, list) else [said]
    names = tuple(one_line(str(name), 60) for name in listed) if said else ()
    if repeated := [name for name, count in Counter(map(str.casefold, names)).items() if count > 1]:
        raise DataError(f"{path}: calls several channels {quoted(repeated[0])}; give each a name of its own")
    return names
