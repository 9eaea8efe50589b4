"""Images to classify, in folders as people have them: ImageNet-1k in its common layouts, or any folders of classes."""

from medssm.data.imagenet.dataset import ImageDataset, load_image_dataset, with_classes
from medssm.data.imagenet.samples import ImageSample, ImageSamples
from medssm.data.imagenet.synsets import imagenet_classes

__all__ = ["ImageDataset", "ImageSample", "ImageSamples", "imagenet_classes", "load_image_dataset", "with_classes"]
