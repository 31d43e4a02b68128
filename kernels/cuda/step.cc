#include "kernels/cuda/step.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"
#include "kernels/cuda/context.h"
#include "kernels/step_rows.h"

namespace guildhall::cuda {
namespace {

constexpr size_t kFirstBytes = size_t{64} << 10;

// Copies arrays one behind the other, and says where they will be on the device. Without memory it adds up
// their sizes.
class StepPacker {
 public:
  StepPacker() = default;
  StepPacker(std::byte* host, const std::byte* device) : host_(host), device_(device) {}

  template <typename T>
  const T* Put(std::span<const T> values) {
    if (values.empty()) return nullptr;
    const size_t at = bytes_;
    bytes_ += AlignUp(values.size_bytes());
    if (host_ == nullptr) return nullptr;
    std::memcpy(host_ + at, values.data(), values.size_bytes());
    return reinterpret_cast<const T*>(device_ + at);
  }

  size_t bytes() const { return bytes_; }

 private:
  std::byte* host_ = nullptr;
  const std::byte* device_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace

absl::Status CudaStep::Fit(size_t bytes) {
  // The copy of the step before, if nobody has awaited it.
  GH_RETURN_IF_ERROR(StatusOf(cudaStreamSynchronize(stream_), "awaiting the step before"));
  if (bytes <= block_.size()) return absl::OkStatus();
  bytes = AlignUp(std::max({bytes, 2 * block_.size(), kFirstBytes}));
  GH_ASSIGN_OR_RETURN(DeviceBuffer block, memory_.Allocate(bytes, "arrays of a step"));
  GH_ASSIGN_OR_RETURN(twin_, memory_.MakeTwin(block.data(), bytes));
  block_ = std::move(block);
  return absl::OkStatus();
}

absl::Status CudaStep::Begin(const StepInputs& inputs) {
  CheckStepInputs(inputs);
  const bool sets = !inputs.sets.empty();
  logit_set_.clear();
  if (sets) {
    for (const int32_t row : inputs.logit_rows) logit_set_.push_back(inputs.set[static_cast<size_t>(row)]);
  }
  CutSegments(sets ? inputs.set : std::span<const int32_t>(), kMostSegmentRows, row_segments_);
  CutSegments(logit_set_, kMostSegmentRows, logit_segments_);

  const auto pack = [&](StepPacker packer) {
    const auto put = [&](const auto& values) { return packer.Put(std::span(std::as_const(values))); };
    const auto sets_of = [&](const SetTable* tables, const auto& set, const auto& segments) -> RowSets {
      const int32_t* const of_row = put(set);
      return {tables, of_row, put(segments), static_cast<int64_t>(segments.size())};
    };
    data_ = {.rows = static_cast<int64_t>(inputs.positions.size()),
             .logits = static_cast<int64_t>(inputs.logit_rows.size()),
             .hiddens = static_cast<int64_t>(inputs.hidden_rows.size()),
             .max_blocks = inputs.max_blocks,
             .tokens = put(inputs.tokens),
             .positions = put(inputs.positions),
             .sequence = put(inputs.sequence),
             .kv_place = put(inputs.kv_place),
             .block_table = put(inputs.block_table),
             .logit_rows = put(inputs.logit_rows),
             .hidden_rows = put(inputs.hidden_rows),
             .row_sets = {},
             .logit_sets = {}};
    if (sets) {
      const SetTable* const tables = put(inputs.sets);
      data_.row_sets = sets_of(tables, inputs.set, row_segments_);
      data_.logit_sets = sets_of(tables, logit_set_, logit_segments_);
    }
    return packer.bytes();
  };
  const size_t bytes = pack(StepPacker());
  GH_RETURN_IF_ERROR(Fit(bytes));
  pack(StepPacker(twin_.data(), block_.data()));
  host_data_ = data_;
  host_data_.positions = inputs.positions.data();
  host_data_.sequence = inputs.sequence.data();
  host_data_.kv_place = inputs.kv_place.data();
  if (bytes == 0) return absl::OkStatus();
  return StatusOf(cudaMemcpyAsync(block_.data(), twin_.data(), bytes, cudaMemcpyHostToDevice, stream_),
                  "a copy of a step's arrays");
}

}  // namespace guildhall::cuda
