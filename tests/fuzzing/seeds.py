"""Whole files of every kind, small ones, as this package or its libraries write them; mutants are made of them."""

import gzip
import json
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from safetensors.torch import save_file
from torch import nn

from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.own_format import save_weights
from medssm.data.scans.volume import Volume, write_label_map
from medssm.data.synthetic.motions.dataset import write_video
from medssm.data.synthetic.objects.dataset import write_objects
from medssm.models import fresh_model
from medssm.recipes.loading import dump_recipe, load_recipe
from medssm.tasks.records import FileState, Record
from medssm.training.checkpoint import Progress, save_checkpoint
from medssm.training.run_folder import RunFolder

LABELS = (np.arange(8 * 7 * 6).reshape(8, 7, 6) % 3).astype(np.uint8)
AFFINE = np.diag([1.5, 1.4, 2.5, 1.0])
NAMES = {1: "spleen", 2: "left kidney"}
SMALL_RECIPES = ("btcv", "coco", "ucf101")
CHANGES = "model.num_classes=3\naugmentation.crops.size=[48,48,48]\noptimizer.learning_rate=1e-4\nloss.kind=dice-ce\n"


def write_scans(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Label maps with their names, which are volumes too."""
    paths = [folder / f"scan{suffix}" for suffix in suffixes]
    for path in paths:
        write_label_map(path, LABELS, Volume(LABELS, AFFINE), NAMES)
    return paths


def write_detached(folder: Path) -> list[Path]:
    """Headers whose voxels lie in a file beside them."""
    paths = [folder / "scan.mhd", folder / "scan.nhdr"]
    for path in paths:
        sitk.WriteImage(sitk.GetImageFromArray(LABELS.astype(np.int16)), str(path))
    return paths


def write_pairs(folder: Path) -> list[Path]:
    """NIfTI in two files; the headers are the ones to damage."""
    for name in ("scan.img", "packed.img.gz"):
        nib.save(nib.Nifti1Pair(LABELS, AFFINE), folder / name)
    return [folder / "scan.hdr", folder / "packed.hdr.gz"]


def write_freesurfer(folder: Path) -> list[Path]:
    """FreeSurfer's volumes."""
    paths = [folder / "scan.mgh", folder / "scan.mgz"]
    for path in paths:
        nib.save(nib.MGHImage(LABELS, AFFINE), path)
    return paths


def write_segmentation(folder: Path) -> list[Path]:
    """A segmentation of 3D Slicer with three segments in two layers."""
    lines = [
        *("NRRD0004", "type: unsigned char", "dimension: 4", "space: left-posterior-superior", "sizes: 2 8 7 6"),
        *("space directions: none (1.5,0,0) (0,1.4,0) (0,0,2.5)", "kinds: list domain domain domain"),
        *("encoding: gzip", "space origin: (3,-4,5)", "Segmentation_MasterRepresentation:=Binary labelmap"),
    ]
    for index, (layer, value) in enumerate(((0, 1), (1, 1), (1, 2))):
        own = {"ID": f"Segment_{index}", "Name": f"organ {index}", "LabelValue": value, "Layer": layer}
        lines += [f"Segment{index}_{key}:={text}" for key, text in own.items()]
    layers = np.stack([LABELS == 1, LABELS])
    path = folder / "scan.seg.nrrd"
    path.write_bytes("\n".join([*lines, "", ""]).encode() + gzip.compress(layers.astype(np.uint8).tobytes(order="F")))
    return [path]


def write_series(folder: Path) -> list[Path]:
    """A DICOM series of three slices; the second is the one to damage."""
    series, frame = generate_uid(), generate_uid()
    for number in range(3):
        dataset = Dataset()
        tags = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": generate_uid(),
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": frame,
            "Modality": "CT",
            "Rows": 6,
            "Columns": 5,
            "PixelSpacing": [1.5, 1.5],
            "SliceThickness": 2.5,
            "ImagePositionPatient": [-10.5, 4.0, 2.5 * number],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "InstanceNumber": number + 1,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "PixelData": np.arange(30, dtype=np.uint16).tobytes(),
        }
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dcmwrite(folder / f"{number}.dcm", dataset, enforce_file_format=True)
    return [folder / "1.dcm"]


def write_lists(folder: Path) -> list[Path]:
    """The lists of two datasets of scans: BTCV's and nnU-Net's."""
    paths = []
    for name, images, labels in (
        ("btcv", "imagesTr/img{}", "labelsTr/label{}"),
        ("nnunet", "imagesTr/c{}_0000", "labelsTr/c{}"),
    ):
        for part in ("imagesTr", "labelsTr"):
            (folder / name / part).mkdir(parents=True)
        for number in range(3):
            for place in (images, labels):
                nib.save(nib.Nifti1Image(LABELS, AFFINE), folder / name / f"{place.format(number)}.nii.gz")
    pairs = [{"image": f"imagesTr/img{n}.nii.gz", "label": f"labelsTr/label{n}.nii.gz"} for n in range(3)]
    btcv = {"name": "few", "labels": {"0": "background", "1": "spleen", "2": "liver"}}
    btcv |= {"training": pairs[:2], "validation": pairs[2:]}
    nnunet = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1, "liver": 2}}
    nnunet |= {"numTraining": 3, "file_ending": ".nii.gz"}
    for name, content in (("btcv/dataset_0.json", btcv), ("nnunet/dataset.json", nnunet)):
        paths.append(folder / name)
        paths[-1].write_text(json.dumps(content))
    splits = [{"train": ["c0", "c1"], "val": ["c2"]}, {"train": ["c1", "c2"], "val": ["c0"]}]
    paths.append(folder / "nnunet" / "splits_final.json")
    paths[-1].write_text(json.dumps(splits))
    return paths


def write_coco(folder: Path) -> list[Path]:
    """A folder of photographs with objects; the list of those that train is the one to damage."""
    write_objects(folder / "objects", training=2, validation=1)
    return sorted((folder / "objects" / "annotations").glob("*train*.json"))


def write_pictures(folder: Path) -> list[Path]:
    """One picture in each format."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    paths = [folder / f"a.{ending}" for ending in ("png", "jpg", "gif", "tif", "webp", "bmp")]
    for path in paths:
        Image.fromarray(pixels).save(path)
    return paths


def write_videos(folder: Path) -> list[Path]:
    """A short video in each container."""
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    paths = [folder / "a.avi", folder / "a.mp4"]
    for path in paths:
        write_video(path, frames)
    for copy in (folder / "a.mkv", folder / "a.mov"):
        with av.open(str(paths[1])) as source, av.open(str(copy), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        paths.append(copy)
    return paths


def write_recipes(folder: Path) -> list[Path]:
    """Recipes in full."""
    paths = [folder / f"{name}.yaml" for name in SMALL_RECIPES]
    for path in paths:
        path.write_text(dump_recipe(load_recipe(path.stem)))
    return paths


def write_settings(folder: Path) -> list[Path]:
    """What is given with --set, a line each."""
    (folder / "settings.txt").write_text(CHANGES)
    return [folder / "settings.txt"]


def write_networks(folder: Path) -> list[Path]:
    """Weights in our own format, and as others publish them."""
    network = fresh_model("mamband-xs", num_classes=3)
    few = {name: tensor[:1].clone() for name, tensor in list(network.state_dict().items())[:6]}
    metadata = WeightsMetadata(
        model="mamband-xs",
        num_classes=3,
        in_channels=1,
        class_names=NAMES,
        input_size=(48, 48, 48),
        source="",
        licence="",
    )
    save_weights(folder / "own.safetensors", few, metadata)
    save_file(few, folder / "other.safetensors")
    torch.save({"state_dict": few, "epoch": 3, "args": {"lr": 1e-4, "name": "x"}}, folder / "published.pth")
    return sorted(path for path in folder.iterdir() if path.is_file())


class NoPrecision:
    """Of a run in float32, which has no state."""

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        assert not state


def tiny_network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network of few weights and its optimizer."""
    network = nn.Linear(3, 2)
    return network, torch.optim.AdamW(network.parameters())


def write_run(folder: Path) -> list[Path]:
    """The state of a run."""
    network, optimizer = tiny_network()
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_checkpoint(folder / "last.ckpt", network, optimizer, NoPrecision(), Progress(3, 10), dataset={"classes": "a"})
    return [folder / "last.ckpt"]


def write_records(folder: Path) -> list[Path]:
    """What a run and a prediction say of themselves."""
    run = RunFolder(folder)
    run.record_environment("cpu")
    state = FileState("0" * 64, 10, 20)
    record = Record("a.nii", state, "1", "2", {"overlap": 0.5}, "done", "", ["note"], 1.5, None, {"a_seg.nii": state})
    record.write(folder / "a_seg.nii.json")
    return [run.environment, folder / "a_seg.nii.json"]
