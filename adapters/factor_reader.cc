#include "adapters/factor_reader.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "adapters/dora.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// A matrix (rows, columns) of F32 or BF16 in `scratch`; `at(row, column)` is its place in `source`.
template <typename Place>
TensorView Gather(const TensorView& source, DType dtype, int64_t rows, int64_t columns, const Place& at,
                  std::vector<std::byte>& scratch) {
  scratch.resize(static_cast<size_t>(rows * columns) * DTypeSize(dtype));
  size_t to = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column, to += DTypeSize(dtype)) {
      const int64_t from = at(row, column);
      if (dtype == source.dtype) {
        const size_t size = DTypeSize(dtype);
        std::memcpy(scratch.data() + to, source.data + static_cast<size_t>(from) * size, size);
      } else {
        GH_CHECK(dtype == DType::kF32);
        const float value = LoadElement(source.data, source.dtype, from);
        std::memcpy(scratch.data() + to, &value, sizeof(value));
      }
    }
  }
  return TensorView{dtype, {rows, columns}, scratch.data()};
}

absl::StatusOr<TensorView> ReadAs(const AdapterFiles& files, const AdapterTensor& tensor, DType dtype,
                                  std::vector<std::byte>& scratch) {
  if (tensor.dtype == dtype) return files.Read(tensor, scratch);
  std::vector<std::byte> narrow;
  GH_ASSIGN_OR_RETURN(const TensorView view, files.Read(tensor, narrow));
  const int64_t columns = view.shape[1];
  return Gather(
      view, dtype, view.shape[0], columns,
      [&](int64_t row, int64_t column) { return row * columns + column; }, scratch);
}

}  // namespace

absl::StatusOr<LowRankTensors> FactorReader::Read(const LowRankChange& change, const LowRankPlace& place,
                                                  std::vector<std::byte>& a,
                                                  std::vector<std::byte>& b) const {
  if (place.layout != FactorLayout::kPlain) return ReadStacked(change, place, a, b);
  LowRankTensors tensors;
  GH_ASSIGN_OR_RETURN(tensors.a, ReadAs(files_, *place.a, change.dtype, a));
  GH_ASSIGN_OR_RETURN(tensors.b, ReadAs(files_, *place.b, change.dtype, b));
  if (place.magnitude != nullptr) GH_RETURN_IF_ERROR(ApplyDora(change, place, tensors, b));
  return tensors;
}

absl::Status FactorReader::ApplyDora(const LowRankChange& change, const LowRankPlace& place,
                                     LowRankTensors& tensors, std::vector<std::byte>& b) const {
  std::vector<std::byte> weight_scratch, scratch;
  // With tied embeddings the head is the embedding.
  const WeightKey key = base_.Has(change.key) ? change.key : WeightKey{WeightRole::kEmbedding};
  GH_ASSIGN_OR_RETURN(const TensorView weight, base_.Read(key, weight_scratch));
  GH_ASSIGN_OR_RETURN(const TensorView magnitude, files_.Read(*place.magnitude, scratch));
  const auto gains_of = change.key.role == WeightRole::kEmbedding ? DoraEmbeddingGains : DoraGains;
  auto gains = gains_of(weight, tensors.a, tensors.b, change.scale, magnitude);
  if (!gains.ok()) {
    return absl::Status(gains.status().code(),
                        StrCat(files_.directory(), ": ", change.module, ": ", gains.status().message()));
  }
  tensors.gain = *std::move(gains);
  GH_CHECK(tensors.b.dtype == DType::kF32 && tensors.b.data == b.data());
  for (int64_t row = 0; row < change.out; ++row) {
    for (int64_t k = 0; k < change.rank; ++k) {
      std::byte* place_of = b.data() + static_cast<size_t>(row * change.rank + k) * sizeof(float);
      float value = 0;
      std::memcpy(&value, place_of, sizeof(value));
      value *= tensors.gain[static_cast<size_t>(row)];
      std::memcpy(place_of, &value, sizeof(value));
      if (std::isfinite(value)) continue;
      return absl::InvalidArgumentError(StrCat(files_.directory(), ": ", change.module,
                                               ": DoRA: expected finite numbers, found that row ", row,
                                               " times its gain is none"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LowRankTensors> FactorReader::ReadStacked(const LowRankChange& change,
                                                         const LowRankPlace& place, std::vector<std::byte>& a,
                                                         std::vector<std::byte>& b) const {
  GH_ASSIGN_OR_RETURN(const auto stack_a, Stack(*place.a));
  GH_ASSIGN_OR_RETURN(const auto stack_b, Stack(*place.b));
  const int64_t rank = change.rank, experts = place.experts, expert = place.expert,
                width_a = stack_a->view.shape[1];
  // Rows of the stacked A, columns of the stacked B.
  const auto in_a = [&](int64_t k, int64_t column) { return (expert * rank + k) * width_a + column; };
  const auto in_b = [&](int64_t row, int64_t k) { return row * experts * rank + k * experts + expert; };
  LowRankTensors tensors;
  if (place.layout == FactorLayout::kStacked) {
    tensors.a = Gather(stack_a->view, change.dtype, rank, change.in, in_a, a);
    tensors.b = Gather(
        stack_b->view, change.dtype, change.out, rank,
        [&](int64_t row, int64_t k) { return in_b(place.out_begin + row, k); }, b);
  } else {
    tensors.a = Gather(
        stack_b->view, change.dtype, rank, change.in,
        [&](int64_t k, int64_t column) { return in_b(column, k); }, a);
    tensors.b = Gather(
        stack_a->view, change.dtype, change.out, rank,
        [&](int64_t row, int64_t k) { return in_a(k, place.out_begin + row); }, b);
  }
  return tensors;
}

absl::StatusOr<std::shared_ptr<const FactorReader::Whole>> FactorReader::Stack(
    const AdapterTensor& tensor) const {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& stack : stacks_) {
      if (stack != nullptr && stack->tensor == &tensor) return stack;
    }
  }
  auto whole = std::make_shared<Whole>();
  whole->tensor = &tensor;
  GH_ASSIGN_OR_RETURN(whole->view, files_.Read(tensor, whole->bytes));
  const std::lock_guard lock(mutex_);
  stacks_[next_++ % stacks_.size()] = whole;
  return whole;
}

}  // namespace guildhall
