"""Images to classify, in folders as people have them: ImageNet-1k in its common layouts, or any folders of classes."""

from medssm.data.images.samples import ImageSample, ImageSamples
from medssm.data.layouts.imagenet.dataset import ImageDataset, load_image_dataset, with_classes
from medssm.data.layouts.imagenet.synsets import imagenet_classes

__all__ = ["ImageDataset", "ImageSample", "ImageSamples", "imagenet_classes", "load_image_dataset", "with_classes"]
