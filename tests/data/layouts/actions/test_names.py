"""The classes of action recognition data sets."""

from medssm.data.layouts.actions.names import HMDB51_ACTIONS, UCF101_ACTIONS, kinetics400_actions


def test_classes_are_as_many_as_the_name_says_and_sorted() -> None:
    for count, names in ((101, UCF101_ACTIONS), (51, HMDB51_ACTIONS), (400, kinetics400_actions())):
        assert len(set(names)) == len(names) == count
        assert sorted(names, key=str.lower) == list(names)


def test_numbers_are_those_of_the_official_lists() -> None:
    assert [UCF101_ACTIONS[number - 1] for number in (1, 36, 38, 101)] == [
        "ApplyEyeMakeup",
        "HammerThrow",
        "HandstandWalking",
        "YoYo",
    ]
    assert HMDB51_ACTIONS.index("kick") + 1 == HMDB51_ACTIONS.index("kick_ball")
