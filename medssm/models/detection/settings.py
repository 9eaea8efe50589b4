"""How the published detectors differ from torchvision's, setting by setting.

All were trained with MMDetection 3.3 (Chen et al. 2019, arXiv:1906.07155; github.com/open-mmlab/mmdetection), whose
option is named after each value. torchvision's own value, where it is another one, follows in brackets.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True)
class Matching:
    """Which boxes are an object's, by their overlap; what lies between the two limits belongs to nothing.

    Crowd regions are no objects, and boxes in them are background like any other (`ignore_iof_thr` -1).

    Attributes:
        positive: `pos_iou_thr`. negative: `neg_iou_thr`.
        best_from: the boxes that overlap an object most are its own from this overlap on, and an object takes them from
            another one before it (`match_low_quality` with `min_pos_iou`) [from 0, and it does not take them]; inf for
            never.
    """

    positive: float
    negative: float
    best_from: float = inf


@dataclass(frozen=True)
class Sampling:
    """How many boxes of an image are learned from.

    Attributes:
        count: `sampler.num`. positive_share: the most that may be objects' (`pos_fraction`).
        adds_objects: the objects themselves are sampled from, too (`add_gt_as_proposals`).
    """

    count: int
    positive_share: float
    adds_objects: bool


@dataclass(frozen=True)
class Limits:
    """How many proposals there are: per level before suppression (`nms_pre`), per image after it (`max_per_img`)."""

    per_level: int
    per_image: int


@dataclass(frozen=True)
class HeadStage:
    """One pair of box and mask heads.

    Attributes:
        matching: of proposals and objects.
        stds: what differences of boxes are divided by (`target_stds`; `target_means` are 0) [1 / (10, 10, 5, 5)].
        weight: of the stage's losses (`stage_loss_weights`).
    """

    matching: Matching
    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    weight: float = 1.0


@dataclass(frozen=True)
class DetectorSettings:
    """Everything about a detector besides its backbone and the number of classes; the defaults are Mask R-CNN's.

    `configs/_base_/models/mask-rcnn_r50_fpn.py` of MMDetection 3.3 has the values, `cascade-mask-rcnn_r50_fpn.py` those
    of the cascade. In all heads the background is the last class [the first].

    Attributes:
        neck_channels: of every level. neck_groups: of a GroupNorm after each convolution of the neck, which then has no
            bias; 0 for no norm (`norm_cfg`).
        strides: of the five levels.
        anchor_scale: side of a square anchor in strides (`scales`) [set as sides in pixels]. anchor_ratios: of height
            to width; sides are not rounded [they are].
        anchor_center: of the first anchor, in strides (`center_offset`).
        padding_multiple: anchors are learned from if their cell begins within the image padded to this multiple of
            pixels (`pad_size_divisor`).
        anchor_border: and if they end at most so many pixels outside the image (`allowed_border`), which is 0 in the
            cascade; None for anywhere (-1).
        anchor_matching, anchor_sampling: of the proposals' head.
        training_proposals, test_proposals: limits of their number. proposal_overlap: from which the lower score of two
            of a level is suppressed (`nms.iou_threshold`). min_proposal_side: in pixels, and proposals must be larger
            (`min_bbox_size`) [from 0.001].
        rpn_beta: where the loss of anchors turns from square to linear (`SmoothL1Loss.beta`), 0 for `L1Loss`
            [1 / 9].
        side_ratio_clip: a box may grow or shrink by at most this factor and its inverse (`wh_ratio_clip`) [growth
            alone is limited]. Centres move freely (`add_ctr_clip` False), and boxes end at the image's border, not at
            that of its padding (`clip_border` with `img_shape`).
        roi_scale: boxes of this side, the root of the area, are the first that are read from the second level
            (`finest_scale`); roi_scale_eps is added to the ratio before the logarithm [to the logarithm].
        roi_aligned: a cell's centre is half a cell from its corner (`aligned`) [False]. roi_samples: points a bin and
            axis (`sampling_ratio`), 0 for as many as there are cells [2].
        box_roi_size, mask_roi_size: bins along a side (`output_size`).
        box_convs, box_layers: shared convolutions, with synchronised BatchNorm, and linear layers of a box head.
            box_channels, box_features: their widths. mask_convs: convolutions of a mask head.
        stages: one of Mask R-CNN, three of the cascade.
        mask_threshold: probability from which a cell belongs to an object (`mask_thr_binary`), and the share of it
            that its target needs.
        roi_sampling: of the proposals.
        box_loss: "l1" of the differences, or "giou" of the boxes themselves (`reg_decoded_bbox`) [smooth L1].
            box_loss_weight: its factor.
        score_from: least score of a detection (`score_thr`). overlap: from which the lower score of two of a class is
            suppressed. detections: of an image, at most (`max_per_img`).
        counted_rois: boxes and masks of the pass that multiply-adds are counted on: the proposals of a test image, and
            the first 100 of them.
    """

    neck_channels: int = 256
    neck_groups: int = 0
    strides: tuple[int, ...] = (4, 8, 16, 32, 64)
    anchor_scale: float = 8.0
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchor_center: float = 0.0
    padding_multiple: int = 32
    anchor_border: float | None = None
    anchor_matching: Matching = Matching(positive=0.7, negative=0.3, best_from=0.3)
    anchor_sampling: Sampling = Sampling(count=256, positive_share=0.5, adds_objects=False)
    training_proposals: Limits = Limits(per_level=2000, per_image=1000)
    test_proposals: Limits = Limits(per_level=1000, per_image=1000)
    proposal_overlap: float = 0.7
    min_proposal_side: float = 0.0
    rpn_beta: float = 0.0
    side_ratio_clip: float = 16 / 1000
    roi_scale: float = 56.0
    roi_scale_eps: float = 1e-6
    roi_aligned: bool = True
    roi_samples: int = 0
    box_roi_size: int = 7
    mask_roi_size: int = 14
    box_convs: int = 0
    box_channels: int = 256
    box_layers: int = 2
    box_features: int = 1024
    mask_convs: int = 4
    mask_threshold: float = 0.5
    stages: tuple[HeadStage, ...] = (HeadStage(Matching(positive=0.5, negative=0.5)),)
    roi_sampling: Sampling = Sampling(count=512, positive_share=0.25, adds_objects=True)
    box_loss: Literal["l1", "giou"] = "l1"
    box_loss_weight: float = 1.0
    score_from: float = 0.05
    overlap: float = 0.5
    detections: int = 100
    counted_rois: tuple[int, int] = (1000, 100)


MASK_RCNN = DetectorSettings()

# MambaVision's: object_detection/configs of github.com/NVlabs/MambaVision, after Swin's and ConvNeXt's cascades.
CASCADE_MASK_RCNN = DetectorSettings(
    anchor_border=0.0,
    training_proposals=Limits(per_level=2000, per_image=2000),
    rpn_beta=1 / 9,
    box_convs=4,
    box_layers=1,
    box_loss="giou",
    box_loss_weight=10.0,
    stages=(
        HeadStage(Matching(0.5, 0.5), (0.1, 0.1, 0.2, 0.2), 1.0),
        HeadStage(Matching(0.6, 0.6), (0.05, 0.05, 0.1, 0.1), 0.5),
        HeadStage(Matching(0.7, 0.7), (0.033, 0.033, 0.067, 0.067), 0.25),
    ),
)
