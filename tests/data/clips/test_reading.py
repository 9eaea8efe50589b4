"""Frames of real video files: the right ones come out, whatever the container knows of them."""

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from medssm.data.clips import reading as video
from medssm.data.clips.reading import read_frames, upright
from medssm.errors import DataError

# Container and encoder, with B frames, frames that are never shown, open groups, one key frame only.
FORMATS = {
    "b.mp4": {"codec": "libx264", "g": "12", "bf": "3"},
    "b.mov": {"codec": "libx265", "x265-params": "keyint=12:log-level=none"},
    "open.mkv": {"codec": "libx264", "x264-params": "open-gop=1:keyint=12:bframes=3"},
    "simple.avi": {"codec": "mpeg4", "g": "12"},
    "b.avi": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "intra.avi": {"codec": "mjpeg"},
    "hidden.webm": {"codec": "libvpx", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "superframes.webm": {"codec": "libvpx-vp9", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "stream.ts": {"codec": "libx264", "g": "12"},
    "animation.gif": {"codec": "gif"},
}


def number_of(picture: np.ndarray) -> int:
    """The number that a frame shows."""
    bands = picture.reshape(8, -1).mean(axis=1)
    return sum(1 << bit for bit, level in enumerate(bands) if level > 127)


def numbers(path: Path, *clips: list[int]) -> list[list[int]]:
    return read_frames(path, lambda count: [list(clip) for clip in clips], number_of)


def all_numbers(path: Path) -> list[int]:
    return read_frames(path, lambda count: [list(range(count))], number_of)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, options in FORMATS.items():
        write_video(folder / name, 90, **options)
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_frames_are_those_asked_for(folder: Path, name: str) -> None:
    assert all_numbers(folder / name) == list(range(90))
    assert numbers(folder / name, [0, 40, 41, 43], [89, 7, 7, 40]) == [[0, 40, 41, 43], [89, 7, 7, 40]]


@pytest.mark.parametrize("name", ["b.mp4", "open.mkv", "simple.avi", "superframes.webm"])
def test_most_of_a_file_that_can_be_searched_is_not_decoded(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_count_frames", lambda path: pytest.fail("every frame was decoded"))
    taken: list[int] = []
    index = video.bisect_left
    monkeypatch.setattr(video, "bisect_left", lambda times, time: taken.append(index(times, time)) or taken[-1])
    assert numbers(folder / name, [60, 62]) == [[60, 62]]
    assert len(taken) == 1  # where decoding began
    assert 40 < taken[0] <= 60


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells the threads of a process")
@pytest.mark.parametrize("name", FORMATS)
def test_no_decoder_starts_threads_that_could_wait_for_each_other(folder: Path, name: str) -> None:
    def threads(_: object = None) -> int:
        return len(os.listdir("/proc/self/task"))

    before = threads()
    assert set(read_frames(folder / name, lambda count: [[5, 60]], threads)[0]) == {before}


@pytest.mark.parametrize("name", ["varies.mp4", "varies.mkv"])
def test_frames_are_counted_and_not_timed(tmp_path: Path, write_video: Callable[..., Path], name: str) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(10, 400, 50)).tolist()
    path = write_video(tmp_path / name, 50, times=times, g="12")
    assert all_numbers(path) == list(range(50))
    assert numbers(path, [49, 20, 31]) == [[49, 20, 31]]


def test_number_of_frames_in_the_header_is_not_believed(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "simple.avi").read_bytes())
    start = content.index(b"avih") + 8 + 16  # dwTotalFrames
    assert int.from_bytes(content[start : start + 4], "little") == 90
    content[start : start + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "lie.avi").write_bytes(content)
    assert all_numbers(tmp_path / "lie.avi") == list(range(90))


@pytest.mark.skipif(not hasattr(VideoStream, "set_display_rotation"), reason="PyAV 18 can write turned videos")
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_pictures_are_upright(tmp_path: Path, write_video: Callable[..., Path], degrees: int) -> None:
    path = write_video(tmp_path / "turned.mp4", 4, size=(64, 96), degrees=degrees)
    [[picture]] = read_frames(path, lambda count: [[1]], np.array)
    turned = np.rot90(picture, -degrees // 90)  # numpy turns counter-clockwise, as FFmpeg counts
    assert turned.shape == (64, 96, 3)
    assert number_of(turned) == 1


def test_display_matrix_moves_every_pixel_to_its_place() -> None:
    picture = np.arange(6).reshape(2, 3)
    for a, b, c, d in [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)] + [
        (0, b, c, 0) for b in (1, -1) for c in (1, -1)
    ]:
        places = {(q, p): (b * p + d * q, a * p + c * q) for q in range(2) for p in range(3)}
        first = np.min(list(places.values()), axis=0)
        shown = upright(picture, np.array([[a, b, 0], [c, d, 0], [0, 0, 1]]) << 16)
        for place, (row, column) in places.items():
            assert shown[row - first[0], column - first[1]] == picture[place]
    assert upright(picture, None) is picture


def test_a_single_frame_is_a_video(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    assert all_numbers(write_video(tmp_path / "one.mp4", 1)) == [0]


@pytest.fixture(scope="module")
def broken_folder(folder: Path, write_video: Callable[..., Path]) -> Path:
    """More files, whose containers do not tell how long they are."""
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    write_video(folder / "fragments.mp4", 90, codec="libx264", g="12", container_options=fragments)
    write_video(folder / "live.mkv", 90, codec="libx264", g="12", container_options={"live": "1"})
    return folder


BREAKABLE = ["b.mp4", "intra.avi", "superframes.webm", "open.mkv", "animation.gif", "fragments.mp4", "live.mkv"]


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", BREAKABLE)
def test_a_part_of_a_file_is_refused(broken_folder: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (broken_folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    reason = r"(the file breaks off|not a readable video|is damaged at its byte)"
    with pytest.raises(DataError, match=rf"{name}: {reason}.*; .*again$"):
        all_numbers(tmp_path / name)


@pytest.mark.parametrize("name", BREAKABLE)
def test_whole_files_of_every_container_are_whole(broken_folder: Path, name: str) -> None:
    assert all_numbers(broken_folder / name) == list(range(90))


def test_a_transport_stream_that_ends_within_a_packet_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "part.ts").write_bytes((folder / "stream.ts").read_bytes()[: 188 * 100 - 50])
    with pytest.raises(DataError, match=r"part.ts: the file breaks off, 50 bytes are missing"):
        all_numbers(tmp_path / "part.ts")


@pytest.mark.parametrize(
    ("name", "tail"), [("b.mp4", b"\0\1tail" * 9), ("open.mkv", bytes(50)), ("animation.gif", b"x")]
)
def test_a_tail_that_belongs_to_nothing_does_no_harm(folder: Path, tmp_path: Path, name: str, tail: bytes) -> None:
    (tmp_path / name).write_bytes((folder / name).read_bytes() + tail)
    assert all_numbers(tmp_path / name) == list(range(90))


@pytest.mark.parametrize("name", ["superframes.webm", "animation.gif"])
def test_bytes_that_are_lost_in_the_middle_are_missed(folder: Path, tmp_path: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    (tmp_path / name).write_bytes(content[:middle] + content[middle + 300 :])
    with pytest.raises(DataError, match=rf"{name}: (the file breaks off|is damaged at its byte)"):
        all_numbers(tmp_path / name)


def test_the_picture_of_a_cover_is_not_the_film(tmp_path: Path) -> None:
    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as container:
        cover, film = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=16)
        for stream, pixels in ((cover, "yuvj420p"), (film, "yuv420p")):
            stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for stream, count in ((cover, 1), (film, 20)):
            for number in range(count):
                picture = np.full((64, 64, 3), 10 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    assert read_frames(path, lambda count: [[count - 1]], lambda picture: round(picture.mean() / 10)) == [[19]]


@pytest.mark.parametrize("name", ["photo.jpg", "photo.mp4"])
def test_an_image_is_no_video_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / name, format="JPEG")
    with pytest.raises(DataError, match=rf"{name}: is an image, no video"):
        all_numbers(tmp_path / name)


def test_texts_that_are_no_text_do_no_harm(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.mkv"
    path.write_bytes((folder / "open.mkv").read_bytes().replace(b"Lavf", b"L\xff\xfef"))
    assert all_numbers(path) == list(range(90))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="is no video file"):
        all_numbers(tmp_path / "pipe.mp4")


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n"])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"no\.mp4: not a readable video"):
        all_numbers(tmp_path / "no.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"sound\.mp4: holds no video, only audio"):
        all_numbers(tmp_path / "sound.mp4")


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj420p"
        container.start_encoding()
    with pytest.raises(DataError, match=r"none\.avi: .*again$"):
        all_numbers(tmp_path / "none.avi")


def test_a_damaged_frame_is_refused_where_it_is_wanted(folder: Path, tmp_path: Path) -> None:
    with av.open(str(folder / "b.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    key = next(packet for packet in packets[40:] if packet.is_keyframe)
    number = sorted(packet.pts for packet in packets).index(key.pts)
    content = bytearray((folder / "b.mp4").read_bytes())
    content[key.pos + 4 : key.pos + key.size] = bytes(key.size - 4)
    (tmp_path / "damaged.mp4").write_bytes(content)
    assert numbers(tmp_path / "damaged.mp4", [10, 80]) == [[10, 80]]
    with pytest.raises(DataError, match=r"damaged\.mp4: not a readable video"):
        numbers(tmp_path / "damaged.mp4", [number])


def test_damage_before_a_wanted_frame_is_told_where_that_is_made_of_it(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "simple.avi").read_bytes())
    with av.open(str(folder / "simple.avi")) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][26]
    half = packet.size // 2
    content[packet.pos + half : packet.pos + 2 * half] = b"\x5a" * half
    (tmp_path / "junk.avi").write_bytes(content)
    assert numbers(tmp_path / "junk.avi", [10, 20, 40]) == [[10, 20, 40]]  # other groups of pictures
    with pytest.raises(DataError, match=r"junk\.avi: frame 26 is damaged"):
        numbers(tmp_path / "junk.avi", [10, 30])


def test_a_missing_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        all_numbers(tmp_path / "nowhere.mp4")
