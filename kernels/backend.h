// The op interface: everything that touches weights or activations goes through these calls.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/tensor_view.h"
#include "kernels/device_memory.h"
#include "kernels/ops.h"
#include "kernels/packing.h"

namespace guildhall {

class LoopObserver;  // base/thread_pool.h

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

// Owned by main, outlives all that uses it. Ops are called by one thread (the engine's) and fan out by
// themselves; they CHECK their arguments and cannot fail otherwise. Pack and the size questions may be called
// from any thread.
class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu avx512-bf16, 2 threads (AMD EPYC ...)": what was chosen and why.
  virtual std::string Describe() const = 0;
  // That share the work of an op.
  virtual int Threads() const = 0;

  // Who is told of the parallel loops inside ops, from the next op on; null: nobody. Called as ops are.
  virtual void Observe(LoopObserver* observer) = 0;

  virtual absl::Status Prepare(const StepLimits& limits) = 0;

  // Where the operands of ops are, and how the host gets there.
  virtual DeviceMemory& memory() = 0;

  // Names how packed bytes lie: "cpu/avx512", "cuda/sm90". Bytes that were packed under one name can be read
  // by each back end that has the same one.
  virtual std::string layout() const = 0;
  // The layout's own word behind the device's: "avx512".
  std::string level() const { return layout().substr(layout().find('/') + 1); }
  // Packing is done on the host, by any thread, and needs no device. `parts` are as the shape's kind says, of
  // any dtype, and are rounded or widened to its format. `to` has PackedBytes(shape) bytes, 64-byte aligned;
  // all of them are written.
  virtual size_t PackedBytes(const PackShape& shape) const = 0;
  virtual void Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const = 0;
  // Floats of workspace that A x of one low-rank change takes, for one row or entry.
  virtual int64_t LowRankColumns(int64_t rank) const = 0;

  // Bytes of one KV block of one layer.
  virtual size_t KvBlockBytes(const KvShape& shape) const = 0;

  virtual void Embed(const EmbedArgs& args) = 0;
  virtual void RmsNorm(const RmsNormArgs& args) = 0;
  virtual void MatMul(const MatMulArgs& args) = 0;
  virtual void HeadMatMul(const HeadMatMulArgs& args) = 0;
  virtual void Rope(const RopeArgs& args) = 0;
  virtual void AppendKv(const AppendKvArgs& args) = 0;
  virtual void Attention(const AttentionArgs& args) = 0;
  virtual void Route(const RouteArgs& args) = 0;
  virtual void ExpertFfn(const ExpertFfnArgs& args) = 0;
  virtual void Ffn(const FfnArgs& args) = 0;
  virtual void GatherRows(const GatherRowsArgs& args) = 0;
};

}  // namespace guildhall
