"""Images to classify, in folders as people have them: ImageNet-1k in its common layouts, or any folders of classes."""

from medssm.data.imagenet.dataset import ImageDataset, ImageSample, load_image_dataset

__all__ = ["ImageDataset", "ImageSample", "load_image_dataset"]
