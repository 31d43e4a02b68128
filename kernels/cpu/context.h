// What every CPU op gets beside its arguments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"

namespace guildhall {

struct MicroKernels;  // kernels/cpu/micro_kernels.h

// Memory of one step, sized by CpuBackend::Prepare() and reused by every op. A region belongs to the op that
// runs. Ops may call MatMulOp() inside, which uses `input` only.
struct Scratch {
  StepLimits limits;

  std::byte* input = nullptr;  // (rows, width) inputs converted to bf16, then those to int8
  size_t input_bytes = 0;
  std::byte* hidden = nullptr;  // (entries, HiddenRowBytes) products of gate and up
  size_t hidden_bytes = 0;
  float* entry_out = nullptr;   // (entries, hidden) outputs of the experts before they are weighed
  int32_t* active = nullptr;    // (entries) slots that have entries
  float* logits = nullptr;      // (rows, experts) router scores
  std::byte* worker = nullptr;  // (threads, worker_bytes) for one worker each, 64-byte aligned
  size_t worker_bytes =
      0;  // the largest of WorkerScratchBytes, HeadScratchBytes and ShrinkScratchBytes(limits), rounded up

  std::byte* Worker(int index) const { return worker + static_cast<size_t>(index) * worker_bytes; }

  DeviceBuffer memory;  // owns all of the above
};

class CpuStep;  // kernels/cpu/step.h

// Lives in CpuBackend; an op keeps no reference after it returns.
struct CpuContext {
  ThreadPool& pool;
  const MicroKernels& kernels;
  Isa isa;
  Scratch& scratch;
  CpuStep& step;
};

}  // namespace guildhall
