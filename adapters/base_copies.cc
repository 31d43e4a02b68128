#include "adapters/base_copies.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

bool IsCopyOf(float copy, DType dtype, float own) {
  if (copy == own) return true;
  if (dtype == DType::kBF16) return BF16ToFloat(FloatToBF16(own)) == copy;
  // Half of a half's last place: relative (2^-11) for normal numbers, fixed (2^-25) for subnormal ones.
  if (dtype == DType::kF16) return std::abs(copy - own) <= std::max(std::abs(own) * 0x1p-11f, 0x1p-25f);
  return false;
}

absl::Status CheckBaseCopy(const BaseCopy& copy, const AdapterFiles& files, const WeightSource& base) {
  // With tied embeddings the head is the embedding.
  const WeightKey key = base.Has(copy.key) ? copy.key : WeightKey{WeightRole::kEmbedding};
  std::vector<std::byte> own_scratch, scratch;
  GH_ASSIGN_OR_RETURN(const TensorView own, base.Read(key, own_scratch));
  const int64_t rows = own.shape[0], columns = own.shape[1];
  constexpr int64_t kRows = 256;
  for (int64_t begin = 0; begin < rows; begin += kRows) {
    const int64_t end = std::min(rows, begin + kRows);
    GH_ASSIGN_OR_RETURN(const TensorView part, files.Read(*copy.tensor, scratch, begin, end));
    for (int64_t i = 0; i < (end - begin) * columns; ++i) {
      const float found = LoadElement(part.data, part.dtype, i);
      const float expected = LoadElement(own.data, own.dtype, begin * columns + i);
      if (IsCopyOf(found, part.dtype, expected)) continue;
      return absl::FailedPreconditionError(
          StrCat(files.directory(), ": tensor ", copy.tensor->entry->name,
                 ": expected the base's own numbers, found ", found, " instead of ", expected, " in row ",
                 begin + i / columns,
                 ": the embedding or head was trained or resized; serve it as a base of its own, or save "
                 "the adapter with save_embedding_layers=False if it was not"));
    }
  }
  return absl::OkStatus();
}

}  // namespace guildhall
