"""What every network promises, as checks that each network's tests call with the network and an input."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The network without memory for its weights: sizes only."""
    with torch.device("meta"):
        return build()


def n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network: nn.Module, kinds: type | tuple[type, ...], *inputs: Tensor) -> list[Shape]:
    """Output shapes, without the batch, of every module of these kinds, in the order they ran."""
    seen: list[Shape] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(tuple(output.shape[1:]))

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def settled(network: nn.Module, *inputs: Tensor) -> nn.Module:
    """The network in eval mode, its batch norms having seen something, so that they are not the identity."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(*inputs)
    return network.eval()


def tensors(output: Any) -> list[Tensor]:
    """The tensors of an output, which may be one, or a tuple of them and None."""
    return [output] if isinstance(output, Tensor) else [each for each in output if each is not None]


def check_gradients(network: nn.Module, *inputs: Tensor) -> None:
    """Every parameter, and the input, has a gradient that is finite and not all zero."""
    settled(network, *inputs)
    leaves = [each.clone().requires_grad_() for each in inputs]
    loss = sum((output * torch.randn_like(output)).sum() for output in tensors(network(*leaves)))
    loss.backward()
    moved = [*network.named_parameters(), *((f"input {i}", leaf) for i, leaf in enumerate(leaves))]
    for name, tensor in moved:
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all() and tensor.grad.any(), name


def check_rows_alone(network: nn.Module, batch: Tensor) -> None:
    """In eval mode a batch gives what its rows give alone: nothing leaks from one voice or face to another."""
    settled(network, batch)
    with torch.no_grad():
        together = tensors(network(batch))
        for row in range(len(batch)):
            alone = tensors(network(batch[row : row + 1]))
            for one, all_ in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], all_[row], rtol=1e-4, atol=1e-5)


def check_captured(network: nn.Module, example: Tensor, other: Tensor, open_sizes: dict[int, Any]) -> None:
    """One graph without breaks (`torch.compile`); exported from the example, it also serves the other sizes."""
    settled(network, example)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    exported = torch.export.export(network, (example,), dynamic_shapes=(open_sizes,)).module()
    with torch.no_grad():
        for captured, given in ((compiled, example), (exported, example), (exported, other)):
            for one, expected in zip(tensors(captured(given)), tensors(network(given)), strict=True):
                torch.testing.assert_close(one, expected)
    torch._dynamo.reset()


def check_bfloat16(network: nn.Module, example: Tensor) -> None:
    """Under bfloat16 autocast, channels last, the outputs are those of float32 to bfloat16's three digits."""
    settled(network, example)
    with torch.no_grad():
        expected = tensors(network(example))
        if example.dim() == 4:
            network, example = (each.to(memory_format=torch.channels_last) for each in (network, example))
        with torch.autocast("cpu", torch.bfloat16):
            got = tensors(network(example))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.05 * float(other.abs().max()))
