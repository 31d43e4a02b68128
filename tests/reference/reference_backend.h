// A back end for tests: every op written straight from its description, one number at a time in double
// precision, over memory that host code cannot touch. Ops are computed in Finish() and not before.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/reference/guarded_memory.h"

namespace guildhall {

// Packs every format as the numbers of the source in float, row by row: it rounds nothing, so that quantized
// formats are the unquantized ones.
class ReferenceBackend final : public Backend {
 public:
  std::string Describe() const override { return "reference, one thread"; }
  int lanes() const override { return 1; }
  void Observe(OpObserver* observer) override;
  size_t ScratchBytes(const StepLimits&) const override { return 0; }
  absl::Status Prepare(const StepLimits&) override { return absl::OkStatus(); }

  GuardedMemory& memory() override { return memory_; }

  std::string layout() const override { return "reference/float"; }
  size_t PackedBytes(const PackShape& shape) const override;
  absl::Status PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const override;
  int64_t LowRankColumns(int64_t rank) const override { return rank; }
  size_t KvBlockBytes(const KvShape& shape) const override;

  const StepData& BeginStep(const StepInputs& inputs) override;
#define GH_DECLARE(Name, name) void Name(const Name##Args& args) override;
  GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE
  absl::Status Finish() override;

 private:
  template <typename T>
  const T* Bring(std::span<const T> values);

  GuardedMemory memory_;
  std::vector<DeviceBuffer> step_memory_;
  StepData step_;
  std::vector<std::function<void()>> enqueued_;
};

}  // namespace guildhall
