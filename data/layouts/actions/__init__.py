"""Data sets of actions in short videos, as people have them: UCF-101, HMDB-51 and Kinetics-400."""

from medssm.data.layouts.actions.dataset import LAYOUTS, ActionSet, LayoutName, find_layout, load_action_set

__all__ = ["LAYOUTS", "ActionSet", "LayoutName", "find_layout", "load_action_set"]
