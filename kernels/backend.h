// The op interface: everything that touches weights or activations goes through these calls.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "kernels/ops.h"

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
  // "portable", "avx2", "avx512".
  virtual std::string Isa() const = 0;
  // That share the work of an op.
  virtual int Threads() const = 0;

  // Who is told of the parallel loops inside ops, from the next op on; null: nobody. Called as ops are.
  virtual void Observe(LoopObserver* observer) = 0;

  virtual absl::Status Prepare(const StepLimits& limits) = 0;

  // Packing. `parts` are (out_i, in) tensors of any dtype stacked by rows in order (q, k and v as one
  // product), rounded or widened to `format`. `destination` has PackedBytes(...) bytes, 64-byte aligned.
  virtual size_t PackedBytes(WeightFormat format, int64_t out, int64_t in) const = 0;
  virtual Matrix Pack(std::span<const TensorView> parts, WeightFormat format,
                      std::byte* destination) const = 0;
  // Gate and up interleaved by panel for the fused FFN; out = 2 * width, PackedGateUpBytes bytes.
  virtual size_t PackedGateUpBytes(WeightFormat format, int64_t width, int64_t in) const = 0;
  virtual Matrix PackGateUp(const TensorView& gate, const TensorView& up, WeightFormat format,
                            std::byte* destination) const = 0;

  // B of a low-rank part, (out, rank), for outputs that begin at `out_begin` of their product. 64-byte
  // aligned.
  virtual size_t PackedLowRankBBytes(DType dtype, int64_t out_begin, int64_t out, int64_t rank) const = 0;
  virtual const std::byte* PackLowRankB(const TensorView& b, DType dtype, int64_t out_begin,
                                        std::byte* destination) const = 0;

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

struct CpuOptions {
  int threads = 0;   // 0: the allowed CPUs
  bool pin = false;  // bind threads to CPUs, see ThreadPool
  std::string isa;   // "" = GUILDHALL_ISA, else the best of this CPU
};

// INVALID_ARGUMENT for an ISA that does not exist or that this CPU lacks: the message names the possible
// ones.
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuOptions& options);

}  // namespace guildhall
