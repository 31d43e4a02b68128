#include "tests/reference/reference_backend.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "tests/reference/reference_ops.h"

namespace guildhall {

void ReferenceBackend::Observe(OpObserver* observer) {
  GH_CHECK(observer == nullptr);  // it has no times worth telling
}

size_t ReferenceBackend::PackedBytes(const PackShape& shape) const {
  return static_cast<size_t>(shape.out * shape.in) * sizeof(float);
}

absl::Status ReferenceBackend::PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const {
  auto* out = reinterpret_cast<float*>(to);
  int64_t rows = 0;
  for (size_t part = 0; part < parts.rows.size(); ++part) {
    GH_ASSIGN_OR_RETURN(const TensorView view, parts.read(part, 0, parts.rows[part]));
    GH_CHECK_EQ(view.shape[1], shape.in);
    rows += view.shape[0];
    for (int64_t i = 0; i < view.Elements(); ++i) *out++ = LoadElement(view.data, view.dtype, i);
  }
  GH_CHECK_EQ(rows, shape.out);
  return absl::OkStatus();
}

size_t ReferenceBackend::KvBlockBytes(const KvShape& shape) const {
  return static_cast<size_t>(reference::KvBlockFloats(shape)) * sizeof(float);
}

template <typename T>
const T* ReferenceBackend::Bring(std::span<const T> values) {
  if (values.empty()) return nullptr;
  step_memory_.push_back(memory_.Bring(std::as_bytes(values), nullptr, "a step's array").value());
  return step_memory_.back().As<const T>();
}

const StepData& ReferenceBackend::BeginStep(const StepInputs& inputs) {
  GH_CHECK(enqueued_.empty());
  step_memory_.clear();
  step_ = {.rows = static_cast<int64_t>(inputs.positions.size()),
           .logits = static_cast<int64_t>(inputs.logit_rows.size()),
           .hiddens = static_cast<int64_t>(inputs.hidden_rows.size()),
           .max_blocks = inputs.max_blocks,
           .tokens = Bring(inputs.tokens),
           .positions = Bring(inputs.positions),
           .sequence = Bring(inputs.sequence),
           .kv_place = Bring(inputs.kv_place),
           .block_table = Bring(inputs.block_table),
           .logit_rows = Bring(inputs.logit_rows),
           .hidden_rows = Bring(inputs.hidden_rows),
           .row_sets = {},
           .logit_sets = {}};
  if (inputs.sets.empty()) return step_;
  std::vector<int32_t> logit_set;
  for (const int32_t row : inputs.logit_rows) logit_set.push_back(inputs.set[static_cast<size_t>(row)]);
  step_.row_sets = {.tables = Bring(inputs.sets), .set = Bring(inputs.set)};
  step_.logit_sets = {.tables = step_.row_sets.tables, .set = Bring(std::span<const int32_t>(logit_set))};
  return step_;
}

#define GH_ENQUEUE(Name, name)                                                \
  void ReferenceBackend::Name(const Name##Args& args) {                       \
    enqueued_.emplace_back([args, this] { reference::Name(args, memory_); }); \
  }
GH_FOR_EACH_OP(GH_ENQUEUE)
#undef GH_ENQUEUE

absl::Status ReferenceBackend::Finish() {
  for (const auto& op : enqueued_) op();
  enqueued_.clear();
  return absl::OkStatus();
}

}  // namespace guildhall
