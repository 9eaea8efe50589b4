"""Data sets of actions in short videos, as people have them: UCF-101, HMDB-51 and Kinetics-400."""

from medssm.data.layouts.actions.dataset import ACTION_LISTS, ActionSet, ActionSetName, find_action_set, load_action_set

__all__ = ["ACTION_LISTS", "ActionSet", "ActionSetName", "find_action_set", "load_action_set"]
