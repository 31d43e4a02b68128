#include "model/weight_fill.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

TensorView Transpose(const TensorView& view, std::vector<std::byte>& scratch) {
  const size_t element = DTypeSize(view.dtype);
  const size_t rows = static_cast<size_t>(view.shape[0]), columns = static_cast<size_t>(view.shape[1]);
  scratch.resize(view.Bytes());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      std::memcpy(&scratch[(c * rows + r) * element], view.data + (r * columns + c) * element, element);
    }
  }
  return {view.dtype, {view.shape[1], view.shape[0]}, scratch.data()};
}

}  // namespace

absl::Status FillStack(const WeightSource& source, const Backend& backend, std::span<const WeightKey> keys,
                       WeightFormat format, std::byte* place, WeightScratch& scratch) {
  GH_CHECK_LE(keys.size(), scratch.size());
  std::vector<TensorView> parts(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    GH_ASSIGN_OR_RETURN(parts[i], source.Read(keys[i], scratch[i]));
  }
  int64_t out = 0;
  for (const TensorView& part : parts) out += part.shape[0];
  backend.Pack(PackShape::Stack(format, out, parts[0].shape[1]), parts, place);
  return absl::OkStatus();
}

absl::Status FillGateUp(const WeightSource& source, const Backend& backend, WeightKey gate, WeightKey up,
                        WeightFormat format, std::byte* place, WeightScratch& scratch) {
  GH_ASSIGN_OR_RETURN(const TensorView gate_view, source.Read(gate, scratch[0]));
  GH_ASSIGN_OR_RETURN(const TensorView up_view, source.Read(up, scratch[1]));
  const TensorView parts[] = {gate_view, up_view};
  backend.Pack(PackShape::GateUp(format, gate_view.shape[0], gate_view.shape[1]), parts, place);
  return absl::OkStatus();
}

absl::Status FillVectors(const WeightSource& source, std::span<const WeightKey> keys,
                         std::span<const int64_t> sizes, float* place, WeightScratch& scratch) {
  for (size_t i = 0; i < keys.size(); place += sizes[i++]) {
    if (!source.Has(keys[i])) {
      std::fill(place, place + sizes[i], 0.0f);
      continue;
    }
    GH_ASSIGN_OR_RETURN(const TensorView view, source.Read(keys[i], scratch[0]));
    GH_CHECK_EQ(view.Elements(), sizes[i]);
    for (int64_t j = 0; j < sizes[i]; ++j) place[j] = LoadElement(view.data, view.dtype, j);
  }
  return absl::OkStatus();
}

absl::Status FillRows(const WeightSource& source, WeightKey key, size_t bytes, std::byte* place,
                      WeightScratch& scratch) {
  GH_ASSIGN_OR_RETURN(const TensorView view, source.Read(key, scratch[0]));
  GH_CHECK_EQ(view.Bytes(), bytes);
  std::memcpy(place, view.data, bytes);
  return absl::OkStatus();
}

absl::Status FillHeads(const WeightSource& source, const Backend& backend, WeightKey kv_b,
                       WeightFormat format, size_t k_stride, size_t v_stride, std::byte* place,
                       WeightScratch& scratch) {
  const AttentionSpec& a = source.spec().attention;
  GH_ASSIGN_OR_RETURN(const TensorView view, source.Read(kv_b, scratch[0]));
  const auto heads = static_cast<size_t>(a.heads);
  for (size_t head = 0; head < heads; ++head) {
    const int64_t begin = static_cast<int64_t>(head) * (a.qk_nope_dim + a.v_head_dim);
    const TensorView k = view.Rows(begin, begin + a.qk_nope_dim);
    const TensorView v = view.Rows(begin + a.qk_nope_dim, begin + a.qk_nope_dim + a.v_head_dim);
    const TensorView transposed = Transpose(k, scratch[1]);
    backend.Pack(PackShape::Stack(format, a.kv_lora_rank, a.qk_nope_dim), {&transposed, 1},
                 place + head * k_stride);
    backend.Pack(PackShape::Stack(format, a.v_head_dim, a.kv_lora_rank), {&v, 1},
                 place + heads * k_stride + head * v_stride);
  }
  return absl::OkStatus();
}

}  // namespace guildhall
