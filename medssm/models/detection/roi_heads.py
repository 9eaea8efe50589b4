"""What the regions are: class, box and mask of each."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.models.detection.settings import DetectorSettings
from medssm.models.detection.units import ConvUnit, zero_bias
from medssm.models.layers import narrowed


class BoxHead(nn.Module):
    """Features (n, C, 7, 7) to the class, the background last, and to differences of the box for each class."""

    def __init__(self, num_classes: int, settings: DetectorSettings) -> None:
        super().__init__()
        width = settings.neck_channels
        self.fc_cls = nn.Linear(settings.box_features, num_classes + 1)
        self.fc_reg = nn.Linear(settings.box_features, 4 * num_classes)
        units = []
        for _ in range(settings.box_convs):
            units.append(ConvUnit(width, settings.box_channels, 3, norm="batch"))
            width = settings.box_channels
        self.shared_convs = nn.ModuleList(units)
        widths = [width * settings.box_roi_size**2] + [settings.box_features] * settings.box_layers
        layers = [nn.Linear(*pair) for pair in pairwise(widths)]
        self.shared_fcs = nn.ModuleList(layers)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.fc_cls, self.fc_reg, *layers):
            zero_bias(layer)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, num_classes + 1) and differences (n, num_classes, 4)."""
        features = narrowed(features, self.fc_cls.weight)
        for convolve in self.shared_convs:
            features = convolve(features)
        x = features.flatten(1)
        for layer in self.shared_fcs:
            x = functional.relu(layer(x))
        return self.fc_cls(x), self.fc_reg(x).unflatten(1, (-1, 4))


class MaskHead(nn.Module):
    """Features (n, C, 14, 14) to logits of the mask of each class, (n, num_classes, 28, 28)."""

    def __init__(self, num_classes: int, settings: DetectorSettings) -> None:
        super().__init__()
        width = settings.neck_channels
        self.convs = nn.ModuleList(ConvUnit(width, width, 3) for _ in range(settings.mask_convs))
        self.upsample = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.conv_logits = nn.Conv2d(width, num_classes, 1)
        for layer in (self.upsample, self.conv_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            zero_bias(layer)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, num_classes, 28, 28) of features (n, C, 14, 14)."""
        features = narrowed(features, self.conv_logits.weight)
        for convolve in self.convs:
            features = convolve(features)
        return self.conv_logits(functional.relu(self.upsample(features)))


def of_class(values: Tensor, labels: Tensor) -> Tensor:
    """Of what a head gives for every class, (n, num_classes, ...), that of one class each, (n, ...)."""
    return values[torch.arange(len(labels), device=labels.device), labels]
