#include "bench/op_cases.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/align.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<OpCases>> OpCases::Make(Backend& backend, const OpShape& shape,
                                                       WeightFormat format) {
  if (shape.k > shape.experts) {
    return absl::InvalidArgumentError(
        StrCat("--top-k: expected at most --experts, ", shape.experts, ", found ", shape.k));
  }
  std::unique_ptr<OpCases> cases(new OpCases(backend, shape, format));
  GH_RETURN_IF_ERROR(cases->AllocateAll());
  for (const int64_t rows : shape.rows) cases->AddExperts(rows);
  for (const int64_t rows : shape.rows) cases->AddMatMul(rows);
  return cases;
}

// A tensor of small numbers of both signs.
TensorView OpCases::RandomTensor(int64_t out, int64_t in) {
  source_.resize(static_cast<size_t>(out * in));
  for (uint16_t& bits : source_) bits = static_cast<uint16_t>(0x3c00u | (random_() & 0x83ffu));
  return {DType::kBF16, {out, in}, reinterpret_cast<const std::byte*>(source_.data())};
}

template <typename T>
absl::StatusOr<OpCases::Array> OpCases::MakeArray(const std::vector<T>& values, const char* what) {
  Array array;
  const size_t bytes = values.size() * sizeof(T);
  GH_ASSIGN_OR_RETURN(array.home, backend_.memory().Allocate(bytes, what));
  GH_ASSIGN_OR_RETURN(array.twin, backend_.memory().MakeTwin(array.home.data(), bytes));
  std::memcpy(array.twin.data(), values.data(), bytes);
  GH_RETURN_IF_ERROR(backend_.memory().Upload(array.twin));
  return array;
}

absl::StatusOr<DeviceBuffer> OpCases::Repeat(const Buffer& packed, int64_t copies, const char* what) {
  GH_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                      backend_.memory().Allocate(packed.size() * static_cast<size_t>(copies), what));
  for (int64_t i = 0; i < copies; ++i) {
    GH_ASSIGN_OR_RETURN(
        const HostTwin twin,
        backend_.memory().MakeTwin(buffer.data() + static_cast<size_t>(i) * packed.size(), packed.size()));
    std::memcpy(twin.data(), packed.data(), packed.size());
    GH_RETURN_IF_ERROR(backend_.memory().Upload(twin));
  }
  return buffer;
}

// Only the first expert is packed; the others are copies in other places.
absl::Status OpCases::FillExperts() {
  GH_ASSIGN_OR_RETURN(Buffer expert, Buffer::Allocate(gate_up_bytes_ + down_bytes_, "an expert"));
  const TensorView gate = RandomTensor(shape_.width, shape_.hidden);
  const TensorView parts[] = {gate, gate};
  backend_.Pack(GateUpShape(), parts, expert.data());
  const TensorView down = RandomTensor(shape_.hidden, shape_.width);
  backend_.Pack(DownShape(), {&down, 1}, expert.data() + gate_up_bytes_);
  GH_ASSIGN_OR_RETURN(experts_, Repeat(expert, shape_.experts, "experts"));
  std::vector<FfnWeights> table(static_cast<size_t>(shape_.experts));
  for (size_t e = 0; e < table.size(); ++e) {
    const std::byte* const at = experts_.data() + e * expert.size();
    table[e].gate_up = GateUpShape().At(at);
    table[e].down = DownShape().At(at + gate_up_bytes_);
  }
  GH_ASSIGN_OR_RETURN(table_, MakeArray(table, "table of experts"));
  return absl::OkStatus();
}

absl::Status OpCases::FillMatrices() {
  GH_ASSIGN_OR_RETURN(Buffer matrix, Buffer::Allocate(matrix_bytes_, "a matrix"));
  const TensorView w = RandomTensor(shape_.out, shape_.hidden);
  backend_.Pack(MatrixShape(), {&w, 1}, matrix.data());
  const size_t copies = shape_.copies_bytes / matrix_bytes_ + 2;
  GH_ASSIGN_OR_RETURN(matrices_, Repeat(matrix, static_cast<int64_t>(copies), "matrices"));
  return absl::OkStatus();
}

absl::Status OpCases::AllocateArrays(int64_t rows, int64_t max_width) {
  std::vector<float> x(static_cast<size_t>(rows * shape_.hidden));
  for (float& value : x) value = static_cast<float>(random_() % 2001) * 1e-3f - 1.0f;
  GH_ASSIGN_OR_RETURN(x_, MakeArray(x, "rows"));
  const auto entries = static_cast<size_t>(rows * shape_.k);
  GH_ASSIGN_OR_RETURN(y_, MakeArray(std::vector<float>(static_cast<size_t>(rows * max_width)), "results"));
  GH_ASSIGN_OR_RETURN(weight_, MakeArray(std::vector<float>(entries, 0.125f), "weights of choices"));
  const std::vector<int32_t> begin(static_cast<size_t>(shape_.experts) + 1), entry(entries);
  GH_ASSIGN_OR_RETURN(group_begin_, MakeArray(begin, "begins of groups"));
  GH_ASSIGN_OR_RETURN(group_entry_, MakeArray(entry, "entries of groups"));
  return absl::OkStatus();
}

absl::Status OpCases::AllocateAll() {
  const int64_t rows = *std::max_element(shape_.rows.begin(), shape_.rows.end());
  StepLimits limits;
  limits.max_rows = rows;
  limits.max_width = std::max(shape_.hidden, shape_.out);
  limits.max_entries = rows * shape_.k;
  limits.max_ffn_width = shape_.width;
  limits.hidden = shape_.hidden;
  limits.max_heads = 1;
  limits.max_experts = shape_.experts;
  GH_RETURN_IF_ERROR(backend_.Prepare(limits));
  gate_up_bytes_ = AlignUp(backend_.PackedBytes(GateUpShape()));
  down_bytes_ = AlignUp(backend_.PackedBytes(DownShape()));
  matrix_bytes_ = AlignUp(backend_.PackedBytes(MatrixShape()));
  GH_RETURN_IF_ERROR(FillExperts());
  GH_RETURN_IF_ERROR(FillMatrices());
  return AllocateArrays(rows, limits.max_width);
}

// Routes the rows evenly at random and groups their entries by expert; returns the experts that have some.
int64_t OpCases::DrawGroups(int64_t rows) {
  std::vector<std::vector<int32_t>> groups(static_cast<size_t>(shape_.experts));
  std::vector<size_t> order(groups.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (int64_t row = 0; row < rows; ++row) {
    std::shuffle(order.begin(), order.end(), random_);
    for (int64_t j = 0; j < shape_.k; ++j) {
      groups[order[static_cast<size_t>(j)]].push_back(static_cast<int32_t>(row * shape_.k + j));
    }
  }
  begin_ = {0};
  entry_.clear();
  for (const auto& group : groups) {
    entry_.insert(entry_.end(), group.begin(), group.end());
    begin_.push_back(static_cast<int32_t>(entry_.size()));
  }
  return std::count_if(groups.begin(), groups.end(), [](const auto& group) { return !group.empty(); });
}

absl::Status OpCases::UploadGroups() {
  std::copy(begin_.begin(), begin_.end(), group_begin_.twin.As<int32_t>());
  std::copy(entry_.begin(), entry_.end(), group_entry_.twin.As<int32_t>());
  GH_RETURN_IF_ERROR(backend_.memory().Upload(group_begin_.twin));
  return backend_.memory().Upload(group_entry_.twin);
}

void OpCases::AddExperts(int64_t rows) {
  const int64_t touched = DrawGroups(rows);
  OpCase op;
  op.name = StrCat("expert_ffn ", rows, " rows");
  op.bytes = static_cast<double>(touched) * static_cast<double>(gate_up_bytes_ + down_bytes_);
  op.operations = 6.0 * static_cast<double>(rows * shape_.k * shape_.hidden * shape_.width);
  // Other experts with every call, or a cache would keep those of few rows; but as many.
  op.prepare = [this, rows, touched] {
    while (DrawGroups(rows) != touched) {
    }
    return UploadGroups();
  };
  op.run = [this, rows] {
    backend_.ExpertFfn({.x = x_.home.As<float>(),
                        .table = table_.home.As<FfnWeights>(),
                        .group_begin = group_begin_.home.As<int32_t>(),
                        .group_entry = group_entry_.home.As<int32_t>(),
                        .weight = weight_.home.As<float>(),
                        .y = y_.home.As<float>(),
                        .rows = rows,
                        .k = shape_.k,
                        .slots = shape_.experts,
                        .hidden = shape_.hidden,
                        .width = shape_.width,
                        .x_stride = shape_.hidden,
                        .y_stride = shape_.hidden});
  };
  cases_.push_back(std::move(op));
}

void OpCases::AddMatMul(int64_t rows) {
  OpCase op;
  op.name = StrCat("matmul ", rows, " rows");
  op.bytes = static_cast<double>(matrix_bytes_);
  op.operations = 2.0 * static_cast<double>(rows * shape_.out * shape_.hidden);
  op.prepare = [this] {
    offset_ = (offset_ + matrix_bytes_) % matrices_.size();
    return absl::OkStatus();
  };
  op.run = [this, rows] {
    backend_.MatMul({.x = x_.home.As<float>(),
                     .w = MatrixShape().At(matrices_.data() + offset_),
                     .y = y_.home.As<float>(),
                     .rows = rows,
                     .x_stride = shape_.hidden,
                     .y_stride = shape_.out});
  };
  cases_.push_back(std::move(op));
}

}  // namespace guildhall
