"""Which adapter folders does PEFT as installed read back with the golden logits? `python peft_reads.py`

A report, not a test: PEFT translates names of transformers 4.x, and not everything survives (FACTS.md).
"""

import json
import warnings

import numpy as np
import peft
import torch
import transformers
from engine import OUT, base_model

SAME = 1e-4


def read_back(folder, base, adapter, sequences):
    """One word or an error, for a LoRA or DoRA adapter alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = peft.PeftModel.from_pretrained(base_model(base), folder / adapter["path"]).eval()
    except (ValueError, RuntimeError, TypeError) as error:
        return f"refused: {str(error).splitlines()[0][:100]}"
    worst = 0.0
    with torch.no_grad():
        for sequence in sequences:
            found = model(input_ids=torch.tensor([sequence["tokens"]]), use_cache=False).logits[0].numpy()
            worst = max(worst, float(np.abs(found - np.load(folder / sequence["logits"])).max()))
    return f"same ({worst:.0e})" if worst < SAME else f"WRONG without a word ({worst:.1e})"


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for file in sorted(OUT.glob("*/case.json")):
        case = json.loads(file.read_text())
        for adapter in case["adapters"]:
            alone = [{"name": adapter["name"], "scale": 1.0}]
            sequences = [s for s in case["sequences"] if s["adapters"] == alone]
            if adapter["kind"] != "esft" and sequences:
                print(
                    file.parent.name,
                    adapter["name"],
                    read_back(file.parent, case["base"], adapter, sequences),
                )


if __name__ == "__main__":
    main()
