#include "kernels/backend.h"

#include <vector>

#include "base/check.h"

namespace guildhall {

void Backend::Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const {
  std::vector<int64_t> rows;
  for (const TensorView& part : parts) {
    GH_CHECK_EQ(part.shape.size(), size_t{2});
    GH_CHECK(part.data != nullptr);
    rows.push_back(part.shape[0]);
  }
  const absl::Status packed = PackFrom(
      shape, {rows, [&](size_t part, int64_t begin, int64_t end) { return parts[part].Rows(begin, end); }},
      to);
  GH_CHECK(packed.ok());  // nothing was read
}

}  // namespace guildhall
