"""Muon for the matrices of the layers, AdamW for everything else."""

import torch


def orthogonalise(m: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration: the nearest matrix with singular values near 1, for each matrix of a stack."""
    x = m.bfloat16().view(-1, *m.shape[-2:])
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if tall else x).float().view(m.shape)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; parameters are matrices or stacks of matrices."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(buffer, group["momentum"]))
                scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def make_optimizers(model, matrix_lr: float, other_lr: float):
    matrices, others = [], []
    for name, p in model.named_parameters():
        in_layer = p.ndim >= 2 and ".layers." in name and not name.endswith("mlp.gate.weight")
        (matrices if in_layer else others).append(p)
    return [
        Muon(matrices, lr=matrix_lr),
        torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
