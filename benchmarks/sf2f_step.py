"""How long a stage-1 step of SF2F takes, against a straightforward eager version of the authors' order. One JSON line.

    python benchmarks/sf2f_step.py [--batch 32] [--steps 3] [--threads 2]

64 x 64 pixels, perceptual term on, networks of the published sizes with random weights (FaceNet's too: only the time
matters). The plain version computes FaceNet's and the discriminators' unused weight gradients and the real faces'
states in every step, as the released code does. Both begin with the same weights: the losses must agree.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import facenet, judges, sf2f
from models.layers import UpBlock, UpConv2d
from models.losses import PERCEPTUAL_WEIGHTS, Perceptual
from models.system import Batch, Step

PEOPLE = 2890
FRAMES = 125


def batch(size: int, faces: Tensor, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(len(faces), (size,), generator=generator)
    mel = torch.randn(size, sf2f.BANDS, FRAMES, generator=generator) * sf2f.MEL_STD + sf2f.MEL_MEAN
    person = torch.randint(PEOPLE, (size,), generator=generator)
    flat = torch.zeros(size, sf2f.BANDS)
    return Batch(mel, flat, flat + 1, person, faces[index].float() / 255, person, index)


def plain_step(
    networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    face_network: facenet.FaceNet,
    b: Batch,
) -> dict[str, float]:
    """The released order, written down as it comes."""
    bce = F.binary_cross_entropy_with_logits
    real = sf2f.normalised(b.face)
    fake = networks["decoder"](networks["encoder"]((b.mel - sf2f.MEL_MEAN) / sf2f.MEL_STD))[0]
    image, identity = networks["image_64"], networks["identity_64"]
    patches = image(fake)
    called, whose = identity(fake)
    found = face_network.states(facenet.prepared(sf2f.shown(fake)))
    with torch.no_grad():
        wanted = face_network.states(facenet.prepared(sf2f.shown(real)))
    terms = {
        "l1": (fake - real).abs().mean(),
        "image_gan": bce(patches, torch.ones_like(patches)),
        "identity": F.cross_entropy(whose, b.identity),
        "identity_gan": bce(called, torch.ones_like(called)),
        "perceptual": sum(w * (f - g).abs().mean() for w, f, g in zip(PERCEPTUAL_WEIGHTS, found, wanted, strict=True)),
    }
    total = (
        10 * terms["l1"] + terms["image_gan"] + 0.05 * (terms["identity"] + terms["identity_gan"])
        + 100 * terms["perceptual"]
    )  # fmt: skip
    optimisers["generator"].zero_grad()
    total.backward()
    optimisers["generator"].step()
    fake = fake.detach()
    on_fake, on_real = image(fake), image(real)
    loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    optimisers["image_64"].zero_grad()
    loss.backward()
    optimisers["image_64"].step()
    terms["image_64"] = loss
    (called_f, _), (called_r, whose) = identity(fake), identity(real)
    loss = bce(called_r, torch.ones_like(called_r)) + bce(called_f, torch.zeros_like(called_f))
    loss = loss + F.cross_entropy(whose, b.identity)
    optimisers["identity_64"].zero_grad()
    loss.backward()
    optimisers["identity_64"].step()
    terms["identity_64"] = loss
    return {name: float(term.detach()) for name, term in terms.items()}


def apart(both: UpConv2d) -> nn.Module:
    """A 3 x 3 convolution of the enlarged picture, as the released code writes it."""
    convolution = nn.Conv2d(both.in_channels, both.out_channels, 3, padding=1, bias=False)
    convolution.weight = both.weight
    return nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest"), convolution)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each, in turns")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    settings = sf2f.Settings()
    networks = sf2f.build(settings, PEOPLE)
    network = facenet.FaceNet().eval()
    faces = torch.randint(0, 256, (2 * options.batch, 3, 64, 64), dtype=torch.uint8)
    loops = {"ours": ours(settings, networks, network, faces), "plain": plain(networks, network)}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    worst = 0.0
    for number in range(options.steps + 1):
        b = batch(options.batch, faces, number)
        told = {}
        for name, step in loops.items():
            start = time.perf_counter()
            told[name] = step(b)
            if number:  # the first step warms up
                seconds[name].append(time.perf_counter() - start)
        if number == 0:  # later ones start from weights that Adam has moved apart
            worst = max(abs(told["ours"][n] - v) / max(abs(v), 1.0) for n, v in told["plain"].items())
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "sf2f_step",
                "batch": options.batch,
                "threads": options.threads,
                "seconds": {name: round(value, 3) for name, value in median.items()},
                "speedup": round(median["plain"] / median["ours"], 2),
                "largest_loss_difference": worst,
            }
        )
    )


def ours(
    settings: sf2f.Settings, networks: dict[str, nn.Module], network: facenet.FaceNet, faces: Tensor
) -> Callable[[Batch], dict[str, float]]:
    """`models.sf2f.update` as the loop runs it."""
    mine = copy.deepcopy(networks)
    for one in mine.values():
        one.to(memory_format=torch.channels_last)
    frozen = copy.deepcopy(network)
    judge = judges.frozen("facenet", "random", frozen, facenet.prepared, torch.device("cpu"))
    perceptual = Perceptual(judge, faces, (64,), 4 << 30)
    phase = sf2f.phases(settings)[0]
    optimisers = {
        name: torch.optim.Adam([w for n in o.networks for w in mine[n].parameters()], o.rate, o.betas, fused=True)
        for name, o in phase.optimisers.items()
    }
    step = Step(settings, phase, mine, mine, optimisers, perceptual, torch.Generator(), nullcontext)
    return lambda b: {name: float(loss) for name, loss in sf2f.update(step, b).items()}


def plain(networks: dict[str, nn.Module], network: facenet.FaceNet) -> Callable[[Batch], dict[str, float]]:
    """The released order on copies of the same weights, with the decoder's enlargements and convolutions apart."""
    own, face_network = copy.deepcopy(networks), copy.deepcopy(network)
    for block in own["decoder"].modules():
        if isinstance(block, UpBlock):
            block[0] = apart(block[0])
    groups = {"generator": ("encoder", "decoder"), "image_64": ("image_64",), "identity_64": ("identity_64",)}
    optimisers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam([w for n in of for w in own[n].parameters()], 5e-4) for name, of in groups.items()
    }
    return lambda b: plain_step(own, optimisers, face_network, b)


if __name__ == "__main__":
    main()
