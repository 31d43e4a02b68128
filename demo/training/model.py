"""The DeepSeek-V2 architecture for training: same function as transformers' DeepseekV2ForCausalLM, faster on a CPU.

Attribute names follow the published tensor names; only the experts are stacked, see `published_tensors`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


PAD_ROWS = 64  # groups of rows are filled up to whole multiples
EMBEDDING_STD = 0.06
BALANCE_WEIGHT = 0.01  # of the load-balancing loss


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 2048
    hidden: int = 128
    layers: int = 5
    dense_layers: int = 1
    dense_width: int = 384
    heads: int = 4
    kv_rank: int = 64
    nope: int = 32
    rope: int = 32
    value: int = 32
    experts: int = 16
    top_k: int = 4
    expert_width: int = 128
    shared_experts: int = 1
    rope_theta: float = 1000.0  # prompts are short: most pairs must turn fast enough to tell neighbours apart
    max_positions: int = 1024
    eps: float = 1e-6


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, self.eps)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def rotate(x, angles):
    """Pairs of neighbours are rotated. x: (..., length, rope), angles: (length, rope / 2)."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(x)


class Attention(nn.Module):
    """Latent attention: keys and values come from one compressed vector, the rope part of the key is shared."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.q_proj = linear(s.hidden, s.heads * (s.nope + s.rope))
        self.kv_a_proj_with_mqa = linear(s.hidden, s.kv_rank + s.rope)
        self.kv_a_layernorm = RmsNorm(s.kv_rank, s.eps)
        self.kv_b_proj = linear(s.kv_rank, s.heads * (s.nope + s.value))
        self.o_proj = linear(s.heads * s.value, s.hidden)

    def forward(self, x, angles):
        s = self.s
        q = self.q_proj(x).unflatten(-1, (s.heads, -1)).transpose(1, 2)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split((s.kv_rank, s.rope), -1)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent)).unflatten(-1, (s.heads, -1)).transpose(1, 2)
        k_nope, v = kv.split((s.nope, s.value), -1)
        q = torch.cat((q[..., : s.nope], rotate(q[..., s.nope :], angles)), -1)
        k_rope = rotate(k_rope, angles).unsqueeze(1).expand(-1, s.heads, -1, -1)
        scores = q @ torch.cat((k_nope, k_rope), -1).transpose(-1, -2) * (s.nope + s.rope) ** -0.5
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        weights = scores.float().masked_fill(future, float("-inf")).softmax(-1).type_as(v)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj, self.up_proj = linear(hidden, width), linear(hidden, width)
        self.down_proj = linear(width, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(s.experts, 2 * s.expert_width, s.hidden))
        self.down = nn.Parameter(torch.empty(s.experts, s.hidden, s.expert_width))

    def forward(self, x, choice, weight):
        """x: (rows, hidden); choice, weight: (rows, top_k). One product per expert over the rows that chose it."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        place, sizes = self._places(choice)
        gathered = x.new_zeros(sum(sizes), x.shape[1], dtype=dtype).index_copy(
            0, place.flatten(), x.to(dtype).repeat_interleave(choice.shape[1], 0)
        )
        outputs = []
        weights = zip(self.gate_up.to(dtype).unbind(), self.down.to(dtype).unbind())
        for part, (gate_up, down) in zip(gathered.split(sizes), weights):
            gate, up = (part @ gate_up.T).chunk(2, -1)
            outputs.append((F.silu(gate) * up) @ down.T)
        chosen = torch.cat(outputs)[place]  # (rows, top_k, hidden)
        return (weight.to(dtype).unsqueeze(1) @ chosen).squeeze(1)

    @torch.no_grad()
    def _places(self, choice):
        """Where each (row, choice) stands when grouped by expert, and the groups' sizes in whole PAD_ROWS:
        the matrix library prepares itself anew for each size that it has not seen."""
        hits = F.one_hot(choice.flatten(), self.gate_up.shape[0])
        rank = (hits.cumsum(0) * hits).sum(-1) - 1
        sizes = (hits.sum(0) + PAD_ROWS - 1) // PAD_ROWS * PAD_ROWS
        starts = sizes.cumsum(0) - sizes
        return starts[choice] + rank.view(choice.shape), sizes.tolist()


class Moe(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.gate = linear(s.hidden, s.experts)
        self.experts = Experts(s)
        self.shared_experts = Mlp(s.hidden, s.expert_width * s.shared_experts)
        self.balance = None  # load-balancing loss of the latest forward pass
        self.load = None  # share of the choices that each expert got

    def forward(self, x):
        rows = x.flatten(0, 1)
        with torch.autocast("cpu", enabled=False):
            scores = F.linear(rows.float(), self.gate.weight).softmax(-1)
        weight, choice = scores.topk(self.s.top_k, -1)
        self.load = F.one_hot(choice, self.s.experts).float().mean((0, 1))
        self.balance = self.s.experts * (self.load * scores.mean(0)).sum()
        return self.experts(rows, choice, weight).view(x.shape) + self.shared_experts(x)


class Layer(nn.Module):
    def __init__(self, s: Shape, dense: bool):
        super().__init__()
        self.input_layernorm = RmsNorm(s.hidden, s.eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RmsNorm(s.hidden, s.eps)
        self.mlp = Mlp(s.hidden, s.dense_width) if dense else Moe(s)

    def forward(self, x, angles, places=None):
        """places: where given, only these rows of the result are computed, as (1, n, hidden)."""
        x = x + self.self_attn(self.input_layernorm(x), angles)
        if places is not None:
            x = x.flatten(0, 1)[places].unsqueeze(0)
        return x + self.mlp(self.post_attention_layernorm(x))


class DemoModel(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(s.vocabulary, s.hidden)
        self.model.layers = nn.ModuleList(Layer(s, i < s.dense_layers) for i in range(s.layers))
        self.model.norm = RmsNorm(s.hidden, s.eps)
        self.lm_head = linear(s.hidden, s.vocabulary)
        self.lm_head.weight = self.model.embed_tokens.weight  # copying a token is then one skill, not 2048
        self._initialise()

    def _initialise(self):
        for name, p in self.named_parameters():
            if p.ndim < 2:
                continue
            std = EMBEDDING_STD if p is self.lm_head.weight else p.shape[-1] ** -0.5
            if "o_proj" in name or "down" in name:
                std *= (2 * self.s.layers) ** -0.5
            nn.init.normal_(p, std=std)

    def forward(self, ids, places):
        """ids: (rows, length), places: (n) in the flat ids -> logits (n, vocabulary)"""
        s = self.s
        frequencies = s.rope_theta ** (-torch.arange(0, s.rope, 2) / s.rope)
        angles = torch.outer(torch.arange(ids.shape[1]), frequencies)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers[:-1]:
            x = layer(x, angles)
        x = self.model.layers[-1](x, angles, places)
        return self.lm_head(self.model.norm(x.squeeze(0)))

    def moe_layers(self):
        return [layer.mlp for layer in self.model.layers if isinstance(layer.mlp, Moe)]


def published_tensors(model: DemoModel) -> dict[str, torch.Tensor]:
    """The weights under the names of published DeepSeek-V2 checkpoints: one tensor per expert and projection."""
    tensors = {}
    for name, value in model.state_dict().items():
        head, _, kind = name.rpartition(".experts.")
        if kind == "gate_up":
            for e, (gate, up) in enumerate(v.chunk(2) for v in value):
                tensors[f"{head}.experts.{e}.gate_proj.weight"] = gate
                tensors[f"{head}.experts.{e}.up_proj.weight"] = up
        elif kind == "down":
            tensors |= {f"{head}.experts.{e}.down_proj.weight": v for e, v in enumerate(value)}
        else:
            tensors[name] = value
    return {name: value.contiguous() for name, value in tensors.items()}
