"""Random crops and augmentation of scans for training."""
