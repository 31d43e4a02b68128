"""What cuBLAS reaches on random bf16 numbers, by PyTorch where it is. Exit code 77: it is not."""

import json
import sys

try:
    import torch
except ImportError:
    sys.exit(77)
if not torch.cuda.is_available():
    sys.exit(77)

for rows in (32, 8192):
    a = torch.randn(rows, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    times = []
    for _ in range(8):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(4):
            a @ b.T
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 4e3)
    value = 2.0 * rows * 8192 * 8192 / min(times[1:]) / 1e12
    print(json.dumps({"name": f"cuBLAS bf16, {rows} x 8192 x 8192", "value": round(value, 1), "unit": "TFLOP/s"}), flush=True)
