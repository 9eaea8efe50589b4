"""Random crops and augmentation for training."""
