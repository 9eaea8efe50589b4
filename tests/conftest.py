"""Set up before medssm is imported: Triton's interpreter where there is no GPU, and scratch memory full of NaN.

And the scans that several parts need: real ones, and a small dataset of cubes. What takes long to make is made once
for all processes of a test run.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from filelock import FileLock

REAL_CT = Path(__file__).parents[2] / "shared" / "data" / "real_ct"

# A worker of pytest-xdist is told that it has a terminal of 80 columns; commands in tests print to none.
os.environ.pop("COLUMNS", None)

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what has an id that does not end with one of its marker `few`."""
    for item in items:
        marker = item.get_closest_marker("few")
        if marker and not item.name.removesuffix("]").endswith(marker.args):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def nan_in_unwritten_memory() -> Iterator[None]:
    """torch.empty gives NaN (the largest number for integers), so that reading what nobody wrote shows."""
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    enabled = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The folder of small real scans; the project holds no copy of them."""
    if not REAL_CT.is_dir():
        pytest.skip(f"no real scans at {REAL_CT}; put them there to run this test")
    return REAL_CT


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each process of the tests has a cache of its own, and none the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSSM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def label_names() -> dict[str, dict[int, str]]:
    """Label value -> name as data sets, programs and planners of treatments write them; parts of the long lists."""
    written = {
        "BTCV": "spleen,rkid,lkid,gall,eso,liver,sto,aorta,IVC,veins,pancreas,rad,lad",
        "AMOS": "spleen,right kidney,left kidney,gall bladder,esophagus,liver,stomach,arota,postcava,pancreas,"
        "right adrenal gland,left adrenal gland,duodenum,bladder,prostate/uterus",
        "FLARE": "liver,right kidney,spleen,pancreas,aorta,IVC,RAG,LAG,gallbladder,esophagus,stomach,duodenum,"
        "left kidney",
        "WORD": "liver,spleen,left_kidney,right_kidney,stomach,gallbladder,esophagus,pancreas,duodenum,colon,"
        "intestine,adrenal,rectum,bladder,Head_of_femur_L,Head_of_femur_R",
        "TotalSegmentator": "spleen,kidney_right,kidney_left,liver,lung_upper_lobe_left,lung_lower_lobe_left,"
        "lung_upper_lobe_right,lung_middle_lobe_right,lung_lower_lobe_right,vertebrae_L1,vertebrae_T1,"
        "atrial_appendage_left,iliac_vena_left,iliac_vena_right,rib_left_1,rib_left_2,rib_right_1,rib_right_2",
        "FreeSurfer": "Left-Cerebral-White-Matter,Left-Lateral-Ventricle,Left-Thalamus,3rd-Ventricle,Brain-Stem,"
        "Right-Cerebral-White-Matter,Right-Lateral-Ventricle,Right-Thalamus,CC_Posterior,ctx-lh-lingual,"
        "ctx-rh-lingual",
        "radiotherapy": "Brainstem,Parotid_L,Parotid_R,OpticNrv_L,OpticNrv_R,Eye_AL,Eye_AR,LtLens,RtLens,"
        "kidney(L),kidney(R),Rectum,FemurHeadL,FemurHeadR,LLung,RLung,leftbreast,rightbreast",
    }
    return {publisher: dict(enumerate(names.split(","), 1)) for publisher, names in written.items()}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that gives the folder of a name, which the first process that asks for it has filled."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                fill(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def cube_dataset(made_once: Callable[..., Path]) -> Path:
    """Four training and two validation scans of 24^3 voxels at 3 mm in which two bright cubes are the organs."""
    return made_once("cubes", _write_cube_dataset)


def _write_cube_dataset(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    pairs = [_write_cubes(folder, number, random) for number in range(1, 7)]
    datalist = {
        "labels": {"0": "background", "1": "bright", "2": "brighter"},
        "training": pairs[:4],
        "validation": pairs[4:],
    }
    (folder / "dataset_0.json").write_text(json.dumps(datalist))


def _write_cubes(folder: Path, number: int, random: np.random.Generator) -> dict[str, str]:
    labels = np.zeros((24, 24, 24), np.uint8)
    for label, start in ((1, random.integers(1, 5, 3)), (2, random.integers(12, 15, 3))):
        x, y, z = start
        labels[x : x + 8, y : y + 8, z : z + 8] = label
    image = random.normal(-100, 10, labels.shape) + 130 * labels
    names = {"image": f"imagesTr/img{number:04}.nii.gz", "label": f"labelsTr/label{number:04}.nii.gz"}
    for name, array in zip(names.values(), (image.astype(np.int16), labels), strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), folder / name)
    return names


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """A function that writes a video whose frames show their numbers, as bits in black and white from top to bottom."""
    return _write_video


def _write_video(
    path: Path,
    count: int,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 64),
    times: Sequence[int] | None = None,
    degrees: int = 0,
    container_options: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Frames 0, 1, ... count - 1 of `size` (H, W), shown at `times` in ms; `options` are the encoder's."""
    import av

    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if degrees:
            stream.set_display_rotation(degrees)
        for number in range(count):
            bits = [255 * (number >> bit & 1) for bit in range(8)]
            picture = np.repeat(np.array(bits, np.uint8), size[0] // 8)[:, None, None]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.broadcast_to(picture, (*size, 3))), "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
