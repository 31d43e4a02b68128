#include "model/weight_fill.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

// Of what FillRows reads at a time.
constexpr int64_t kPieceBytes = int64_t{256} << 10;

}  // namespace

absl::Status FillPacked(const WeightSource& source, const Backend& backend, const PackShape& shape,
                        std::span<const WeightPart> parts, std::byte* place, PackScratch& scratch) {
  const auto read = [&](const WeightKey& key, int64_t begin, int64_t end, std::vector<std::byte>& bytes) {
    return source.ReadRows(key, begin, end, bytes);
  };
  return PackTensors(read, backend, shape, parts, place, scratch);
}

absl::Status FillVectors(const WeightSource& source, std::span<const WeightKey> keys,
                         std::span<const int64_t> sizes, float* place, PackScratch& scratch) {
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

absl::Status FillRows(const WeightSource& source, WeightKey key, WeightShape shape, std::byte* place,
                      PackScratch& scratch) {
  const int64_t row_bytes = shape.in * static_cast<int64_t>(DTypeSize(source.dtype(key)));
  const int64_t step = std::max<int64_t>(1, kPieceBytes / row_bytes);
  for (int64_t begin = 0; begin < shape.out; begin += step) {
    const int64_t end = std::min(begin + step, shape.out);
    GH_ASSIGN_OR_RETURN(const TensorView view, source.ReadRows(key, begin, end, scratch[0]));
    GH_CHECK_EQ(view.Bytes(), static_cast<size_t>((end - begin) * row_bytes));
    std::memcpy(place + begin * row_bytes, view.data, view.Bytes());
  }
  return absl::OkStatus();
}

absl::Status FillHeads(const WeightSource& source, const Backend& backend, WeightKey kv_b,
                       WeightFormat format, size_t k_stride, size_t v_stride, std::byte* place,
                       PackScratch& scratch) {
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
