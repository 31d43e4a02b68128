"""Runs transformers on a written folder: logits, routing margins, greedy continuations."""

import copy

import torch
import transformers

CANDIDATES = 24  # tokens tried per position while looking for one that is not routed on a razor's edge


class Oracle:
    """A checkpoint folder as transformers reads it, computed in `dtype`: eager attention, eager experts."""

    def __init__(self, folder, token_by_token=False, dtype=torch.float32):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager"
        ).eval()
        self.vocabulary = self.model.config.vocab_size
        self.token_by_token = token_by_token
        self.fresh_rope = copy.deepcopy(self.model.model.rotary_emb)
        self.routers = [m for m in self.model.modules() if type(m).__name__.lower().endswith("topkrouter")]
        self.router_logits = {}
        for index, router in enumerate(self.routers):
            router.register_forward_hook(self._keep(index))

    def _keep(self, index):
        def hook(_module, _inputs, outputs):
            self.router_logits[index] = outputs[0]

        return hook

    @torch.no_grad()
    def logits(self, tokens):
        """(tokens, vocabulary) for one sequence."""
        if self.token_by_token:
            return self._stepwise(tokens)
        return self.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]

    def _stepwise(self, tokens):
        self.model.model.rotary_emb = copy.deepcopy(self.fresh_rope)  # forgets the longest length seen
        cache = transformers.DynamicCache(config=self.model.config)
        rows = []
        for token in tokens:
            out = self.model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True)
            rows.append(out.logits[0, -1])
        return torch.stack(rows)

    @torch.no_grad()
    def routing_margins(self, batch):
        """The smallest routing margin of the last position of each sequence of a batch (batch, length)."""
        self.model(input_ids=batch, use_cache=False)
        margins = torch.full((batch.shape[0],), float("inf"))
        for index, router in enumerate(self.routers):
            logits = self.router_logits[index].view(*batch.shape, -1)[:, -1]
            margins = torch.minimum(margins, selection_margin(router, logits))
        return margins

    def sequence(self, length, generator, wanted_margin):
        """Random tokens; with routers, each is the first of some candidates that keeps the wanted margin."""
        if not self.routers:
            return torch.randint(self.vocabulary, (length,), generator=generator).tolist(), float("inf")
        tokens, worst = [], float("inf")
        for _ in range(length):
            last = torch.randint(self.vocabulary, (CANDIDATES, 1), generator=generator)
            prefix = torch.tensor(tokens, dtype=torch.long).expand(CANDIDATES, -1)
            margins = self.routing_margins(torch.cat([prefix, last], dim=1))
            good = (margins >= wanted_margin).nonzero()
            chosen = int(good[0]) if len(good) else int(margins.argmax())
            tokens.append(int(last[chosen]))
            worst = min(worst, float(margins[chosen]))
        return tokens, worst

    def greedy(self, prompt, count):
        """The arg-max continuation, the smallest gap between the two best logits, the smallest routing margin."""
        tokens, gap, margin = list(prompt), float("inf"), float("inf")
        for _ in range(count):
            best = self.logits(tokens)[-1].topk(2)
            gap = min(gap, float(best.values[0] - best.values[1]))
            for index, router in enumerate(self.routers):
                margin = min(margin, float(selection_margin(router, self.router_logits[index][-1:])))
            tokens.append(int(best.indices[0]))
        return tokens[len(prompt) :], gap, margin


def selection_margin(router, logits):
    """How far the selection of each row is from another one, in units of router logits."""
    kind = type(router).__name__
    if kind.startswith("DeepseekV3"):
        # A sigmoid has a slope of at most 1/4.
        choice = 4 * (logits.sigmoid() + router.e_score_correction_bias)
        groups = choice.view(len(logits), router.num_group, -1).topk(2, dim=-1).values.sum(-1)
        return grouped_margin(choice, groups, router)
    choice = logits.log_softmax(-1)
    if kind.startswith("DeepseekV2") and router.topk_method == "group_limited_greedy":
        groups = choice.view(len(logits), router.num_group, -1).max(dim=-1).values
        return grouped_margin(choice, groups, router)
    return gap_after(choice, router.top_k)


def grouped_margin(choice, groups, router):
    kept = groups.topk(router.topk_group, dim=-1).indices
    mask = torch.zeros_like(groups).scatter_(1, kept, 1).bool()
    mask = mask.unsqueeze(-1).expand(-1, -1, choice.shape[-1] // groups.shape[-1]).reshape(choice.shape)
    margin = gap_after(choice.masked_fill(~mask, float("-inf")), router.top_k)
    return torch.minimum(margin, gap_after(groups, router.topk_group))


def gap_after(scores, count):
    """Distance between the count-th and the next best score; infinite where there is no next one."""
    if count >= scores.shape[-1]:
        return torch.full((scores.shape[0],), float("inf"))
    best = scores.topk(count + 1, dim=-1).values
    return best[:, count - 1] - best[:, count]
