"""Builds the native kernels; everything else is in setup.cfg.

The library has a plain C interface and is loaded with ctypes, so that it needs a C++ compiler and nothing else (no
Python or PyTorch headers), and one build serves every version of both. Sources: every kernels/**/*.cpp, compiled once
for each instruction set (MEDSSM_ISA), but the two files of COMPILED_ONCE.
Without a compiler the package installs all the same and runs on the reference kernels. So it does on Windows for now:
these flags are not MSVC's, and GCC there aligns AVX variables on the stack wrongly (its bug 54412).
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = Path("kernels/native")
COMPILED_ONCE = ("dispatch.cpp", "threads.cpp")
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
FLAGS = "-std=c++17 -O3 -fPIC -fno-math-errno -ffp-contract=off -fvisibility=hidden -fno-exceptions -fno-rtti"
VARIANTS = {
    "x86_64": {
        "avx512": "-march=x86-64-v4 -mprefer-vector-width=512",
        "avx2": "-march=x86-64-v3",
        "baseline": "",
    },
    "aarch64": {"neon": ""},
}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find_compiler() -> list[str]:
    """The command of the C++ compiler: $CXX, else the first of the usual ones on the PATH; on Windows $CXX alone.

    Raises: CompileError if there is none, or $CXX is none.
    """
    if chosen := shlex.split(os.environ.get("CXX", "")):
        if not shutil.which(chosen[0]):
            raise CompileError(f"CXX={chosen[0]}: no such command")
        return chosen
    if sys.platform == "win32":
        raise CompileError("the native kernels are not made for Windows yet (set CXX to try a clang++ or g++ of yours)")
    usual = [shlex.split(sysconfig.get_config_var("CXX") or "")[:1], ["c++"], ["g++"], ["clang++"]]
    for command in usual:
        if command and shutil.which(command[0]):
            return command
    raise CompileError("no C++ compiler found (set CXX, or install g++ or clang++)")


def run(command: list[str]) -> None:
    """Runs a compiler command.

    Raises: CompileError with the compiler's own words if it fails.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace")
    except OSError as error:
        raise CompileError(f"{command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise CompileError(f"{' '.join(command)} failed\n{error.stderr}") from error


def accepts(compiler: list[str], flags: str, scratch: Path) -> bool:
    """Whether the compiler knows these flags (an older one may not know the newest instruction sets)."""
    source = scratch / "accepts.cpp"
    source.write_text("int main() { return 0; }\n")
    try:
        run([*compiler, *flags.split(), "-c", str(source), "-o", str(scratch / "accepts.o")])
    except CompileError:
        return False
    return True


def compile_library(library: Path, scratch: Path) -> None:
    """Compiles and links the native kernels into `library`, objects in `scratch`."""
    compiler = find_compiler()
    scratch.mkdir(parents=True, exist_ok=True)
    machine = platform.machine().lower()
    wanted = VARIANTS.get(MACHINES.get(machine, machine), {"baseline": ""})
    variants = {isa: flags for isa, flags in wanted.items() if accepts(compiler, flags, scratch)}
    if not variants:
        raise CompileError(f"{shlex.join(compiler)} cannot compile C++ here")
    have = " ".join(f"-DMEDSSM_HAVE_{isa}" for isa in variants)
    jobs = [(NATIVE / name, scratch / f"{Path(name).stem}.o", have) for name in COMPILED_ONCE]
    for source in sorted(Path("kernels").rglob("*.cpp")):
        if source.name in COMPILED_ONCE:
            continue
        for isa, flags in variants.items():
            compiled = scratch / f"{source.parent.name}_{source.stem}.{isa}.o"
            jobs.append((source, compiled, f"{flags} -DMEDSSM_ISA={isa}"))
    command = [*compiler, *FLAGS.split(), f"-I{NATIVE}"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: run([*command, *job[2].split(), "-c", str(job[0]), "-o", str(job[1])]), jobs))
    library.parent.mkdir(parents=True, exist_ok=True)
    run([*compiler, "-shared", *[str(job[1]) for job in jobs], "-o", str(library)])


class BuildNative(build_ext):
    """Compiles the native library with whatever C++ compiler there is, or says why not and goes on."""

    def run(self) -> None:
        """Builds, and on an editable or in-place build puts the library beside its loader."""
        for extension in self.extensions:
            self.build_extension(extension)
        if self.inplace:
            self.copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        """Compiles the one library there is; a failure is a warning, as `ext` is optional."""
        library = Path(self.build_lib, self.get_ext_filename(ext.name))
        try:
            compile_library(library, Path(self.build_temp, "native"))
        except CompileError as error:
            self.warn(f"native kernels not built, medssm will run on its slow reference kernels: {error}")

    def get_ext_filename(self, fullname: str) -> str:
        """The library's path without Python's ABI in its name, as it has none."""
        return str(Path(*fullname.split(".")).with_suffix(SUFFIX))


class PlatformWheel(bdist_wheel):
    """Tags the wheel for the platform but for any Python 3: the library has a plain C interface."""

    def get_tag(self) -> tuple[str, str, str]:
        """(python, abi, platform)."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("medssm.kernels.native.libmedssm", sources=[], optional=True)],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
)
