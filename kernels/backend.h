// The op interface: everything that touches weights or activations goes through these calls.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/tensor_view.h"
#include "kernels/device_memory.h"
#include "kernels/op_list.h"
#include "kernels/ops.h"
#include "kernels/packing.h"

namespace guildhall {

class OpObserver;  // kernels/op_observer.h

// Upper bounds of a step; scratch memory is sized by them once, so that a step allocates nothing.
struct StepLimits {
  int64_t max_rows = 0;       // rows of one forward pass
  int64_t max_width = 0;      // the largest `in` or `out` of any product except the vocabulary
  int64_t max_entries = 0;    // rows * k of one expert_ffn (at least max_rows)
  int64_t max_ffn_width = 0;  // the largest `width` of an FFN
  int64_t hidden = 0;
  int64_t max_heads = 0;    // query heads
  int64_t max_experts = 0;  // experts of a router
};

// Owned by who made it, outlives all that uses it. Packing and the questions of size may be asked by any
// thread; a step belongs to one thread (the engine's): BeginStep, its ops in order, Finish. Ops CHECK their
// arguments, enqueue, and cannot fail by themselves: what goes wrong on the device comes out of Finish.
class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu avx512-bf16, 2 threads (AMD EPYC ...)": what was chosen and why.
  virtual std::string Describe() const = 0;
  // What works on an op in parallel: threads, for a profile's shares and a trace's tracks.
  virtual int lanes() const = 0;

  // Who is told of ops from the next one on; null: nobody, and nothing is measured. Called as ops are.
  virtual void Observe(OpObserver* observer) = 0;

  // Memory of ops for steps within `limits`, and how much that takes of the device's. RESOURCE_EXHAUSTED.
  virtual size_t ScratchBytes(const StepLimits& limits) const = 0;
  virtual absl::Status Prepare(const StepLimits& limits) = 0;

  // Where the operands of ops are, and how the host gets there.
  virtual DeviceMemory& memory() = 0;

  // Names how packed bytes lie: "cpu/avx512", "cuda/sm90". Bytes that were packed under one name can be read
  // by each back end that has the same one.
  virtual std::string layout() const = 0;
  // The layout's own word behind the device's: "avx512".
  std::string level() const { return layout().substr(layout().find('/') + 1); }
  // Packing is done on the host, by any thread, and needs no device. The parts are as the shape's kind says,
  // of any dtype, and are rounded or widened to its format. `to` has PackedBytes(shape) bytes, 64-byte
  // aligned; all of them are written. Errors are those of `parts.read`.
  virtual size_t PackedBytes(const PackShape& shape) const = 0;
  virtual absl::Status PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const = 0;
  // The same of parts that are there.
  void Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const;
  // Floats of workspace that A x of one low-rank change takes, for one row or entry.
  virtual int64_t LowRankColumns(int64_t rank) const = 0;

  // Bytes of one KV block of one layer.
  virtual size_t KvBlockBytes(const KvShape& shape) const = 0;

  // Brings a step's arrays to the device, once, and plans what its ops share. Valid until the next call; the
  // inputs' arrays stay as they are until Finish().
  virtual const StepData& BeginStep(const StepInputs& inputs) = 0;

#define GH_DECLARE(Name, name) virtual void Name(const Name##Args& args) = 0;
  GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE

  // Awaits what was enqueued. The first failure of the device since the last call; its memory may then hold
  // anything, and who asked for the step ends what was in it. UNAVAILABLE: the device is lost to this
  // process, and every later call says so.
  virtual absl::Status Finish() = 0;
};

}  // namespace guildhall
