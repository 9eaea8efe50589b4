"""Which labels are one organ."""

from pathlib import Path

import pytest

from medssm.errors import UsageError
from medssm.metrics.organs import LabelTable, match_organs, read_label_names, read_mapping


def table(names: dict[int, str], *present: int) -> LabelTable:
    return LabelTable(names, frozenset({0, *(present or names)}))


def found(*arguments: object) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    organs = match_organs(*arguments)  # type: ignore[arg-type]
    assert len({organ.label for organ in organs}) == len({organ.name for organ in organs}) == len(organs)
    return {organ.name: (organ.predicted, organ.expected) for organ in organs}


def test_names_decide_where_both_maps_have_them() -> None:
    ours = table({1: "spleen", 5: "esophagus", 6: "Liver", 2: "left kidney"})
    theirs = table({1: "spleen", 5: "liver", 6: "stomach", 3: "kidney_left"})
    assert found(ours, theirs) == {
        "spleen": ((1,), (1,)),
        "kidney_left": ((2,), (3,)),
        "liver": ((6,), (5,)),
        "stomach": ((), (6,)),
        "esophagus": ((5,), ()),
    }


def test_numbers_decide_where_one_map_has_no_names_and_no_label_is_dropped() -> None:
    ours = table({1: "spleen", 6: "liver"}, 1, 6, 40)
    assert found(ours, table({}, 1, 14)) == {
        "spleen": ((1,), (1,)),
        "label 14": ((), (14,)),
        "liver": ((6,), ()),
        "label 40": ((40,), ()),
    }


def test_labels_without_names_are_numbered() -> None:
    assert found(table({}, 1, 2), table({}, 1, 2**40)) == {
        "label 1": ((1,), (1,)),
        f"label {2**40}": ((), (2**40,)),
        "label 2": ((2,), ()),
    }


def test_labels_of_one_name_are_one_organ_by_name_and_two_by_number() -> None:
    lobes = table({10: "lung", 11: "lung"})
    assert found(lobes, table({3: "lung"})) == {"lung": ((10, 11), (3,))}
    assert found(lobes, table({}, 10, 11)) == {"lung": ((10,), (10,)), "lung (11)": ((11,), (11,))}


def test_a_mapping_says_which_labels_are_one() -> None:
    assert found(table({}, 5, 1), table({}, 1), [("5", "1")]) == {
        "label 1": ((5,), (1,)),
        "label 1 of the prediction": ((1,), ()),
    }
    ours, theirs = table({1: "liver", 2: "spleen"}), table({1: "Milz", 2: "Leber"})
    mapping = [("liver", "Leber"), ("2", "milz")]
    assert found(ours, theirs, mapping) == {"Milz": ((2,), (1,)), "Leber": ((1,), (2,))}
    lobes = [("10", "lung"), ("11", "lung")]
    assert found(table({}, 10, 11), table({3: "lung"}), lobes) == {"lung": ((10, 11), (3,))}


def test_an_organ_keeps_its_name_in_a_case_whose_reference_lacks_it() -> None:
    ours = table({1: "liver", 2: "spleen"})
    assert found(ours, table({7: "Milz"}), [("liver", "Leber"), ("spleen", "Milz")]) == {
        "Milz": ((2,), (7,)),
        "Leber": ((1,), ()),
    }
    assert found(table({}, 5), table({}, 3), [("5", "1")]) == {"label 3": ((), (3,)), "label 1": ((5,), ())}


def test_mappings_and_names_are_read_from_words_and_files(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("# ours = theirs\n5 = 1\n\nliver=Leber\n", encoding="utf-8")
    assert read_mapping(["2=3", str(tmp_path / "map.txt")]) == [("2", "3"), ("5", "1"), ("liver", "Leber")]
    assert read_label_names(["btcv", "6=Leber"])[1] == "spleen"
    assert read_label_names(["btcv", "6=Leber"])[6] == "Leber"


@pytest.mark.parametrize("item", ["5", "=1", "5=", "no such file"])
def test_what_is_no_pair_of_labels_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match=r"pair of labels|two labels"):
        read_mapping([item])


def test_a_name_needs_a_number() -> None:
    with pytest.raises(UsageError, match="liver=6: must be a label's number and its name"):
        read_label_names(["liver=6"])


def test_a_label_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="6 is given twice, as 5 and as 1"):
        read_mapping(["6=5", "6=1"])
    with pytest.raises(UsageError, match="label 6 is named twice, liver and spleen"):
        read_label_names(["6=liver", "6=spleen"])
    assert read_label_names(["btcv", "6=Leber"])[6] == "Leber"
