"""What is wrong with a dataset, found before training rather than in its third hour."""

from medssm.data.checks.ade20k import check_scene_dataset
from medssm.data.checks.dataset import check_dataset
from medssm.data.checks.findings import Finding, Report
from medssm.data.checks.image_folders import check_image_dataset

__all__ = ["Finding", "Report", "check_dataset", "check_image_dataset", "check_scene_dataset"]
