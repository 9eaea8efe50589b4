"""One of two processes that take a step together; run by torchrun with the file of the inputs and a folder.

Writes what it holds after the step: rank0.pt, rank1.pt.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from medssm.models.synchronised import SynchronisedBatchNorm2d


def step(rank: int, given: dict[str, Any]) -> dict[str, Any]:
    """What a process holds after it."""
    norm = SynchronisedBatchNorm2d(3)
    norm.load_state_dict(given["norm"])
    images = given["images"].split(given["shares"])[rank].requires_grad_()
    weights = given["weights"].split(given["shares"])[rank]
    parallel = DistributedDataParallel(norm)
    output = parallel(images)
    # Gradients are averaged over the processes; the loss is a sum over the images of both.
    (2 * (output * weights).sum()).backward()
    gradients = {name: parameter.grad for name, parameter in norm.named_parameters()}
    return {"output": output.detach(), "images": images.grad, "norm": norm.state_dict(), "gradients": gradients}


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    held = step(rank, torch.load(sys.argv[1], weights_only=True))
    torch.save(held, Path(sys.argv[2]) / f"rank{rank}.pt")
    distributed.barrier()  # neither process leaves while the other still talks to it
    # A thread of gloo that lets go of a tensor while the interpreter shuts down would abort the process.
    os._exit(0)
