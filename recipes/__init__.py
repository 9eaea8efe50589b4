"""Recipes: one YAML each, and the tasks they are run by."""

from medssm.recipes.folds import is_cross_validation, train_folds
from medssm.recipes.loading import dump_recipe, list_recipes, load_recipe, parse_overrides
from medssm.recipes.planning import plan_recipe
from medssm.recipes.running import train
from medssm.tasks.measured import measure
from medssm.tasks.settings import Recipe

__all__ = [
    "Recipe",
    "dump_recipe",
    "is_cross_validation",
    "list_recipes",
    "load_recipe",
    "measure",
    "parse_overrides",
    "plan_recipe",
    "train",
    "train_folds",
]
