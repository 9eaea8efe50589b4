"""Datasets of labelled scans: BTCV, the Medical Segmentation Decathlon, and nnU-Net's raw data."""
