"""Recipes: one YAML each, and the tasks they are run by."""

from medssm.recipes.loading import dump_recipe, list_recipes, load_recipe, parse_overrides
from medssm.recipes.running import train
from medssm.tasks.schema import Recipe
from medssm.tasks.table import measure

__all__ = ["Recipe", "dump_recipe", "list_recipes", "load_recipe", "measure", "parse_overrides", "train"]
