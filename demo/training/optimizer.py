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

    def __init__(self, params, momentum=0.95, weight_decay=0.05):
        super().__init__(params, dict(lr=0.0, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(state["momentum"], group["momentum"]))
                scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


class Optimizer:
    """Both at once, each with its own highest learning rate."""

    def __init__(self, model, matrix_rate: float, other_rate: float):
        matrices, others = [], []
        for name, p in model.named_parameters():
            in_layer = p.ndim >= 2 and ".layers." in name and not name.endswith("mlp.gate.weight")
            (matrices if in_layer else others).append(p)
        adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.parts = [(Muon(matrices), matrix_rate), (adam, other_rate)]

    def step(self, share: float):
        """share: of the highest learning rates"""
        for part, rate in self.parts:
            part.param_groups[0]["lr"] = rate * share
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self):
        return [part.state_dict() for part, _ in self.parts]

    def load_state_dict(self, states):
        for (part, _), state in zip(self.parts, states):
            part.load_state_dict(state)
