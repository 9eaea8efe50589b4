"""Running another package's torch.autograd.Function by its two halves, inside an operator of ours."""

from types import SimpleNamespace

from torch import Tensor


class Context(SimpleNamespace):
    """Stands for the `ctx` of an autograd.Function: carries from its forward to its backward what it saved.

    Inside an operator autograd is switched off, so the function's halves are called by hand.
    """

    saved_tensors: tuple[Tensor | None, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors
