// Whatever the text of packed.json: a refusal, or tensors that lie apart and within the file.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "base/check.h"
#include "model/packed_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const auto manifest = ParsePackedManifest({reinterpret_cast<const char*>(data), size});
  if (!manifest.ok()) {
    const absl::StatusCode code = manifest.status().code();
    GH_CHECK(code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kFailedPrecondition ||
             code == absl::StatusCode::kDataLoss);
    return 0;
  }
  uint64_t end = 0;
  std::set<std::string_view> names;
  for (const PackedTensor& tensor : manifest->tensors) {
    GH_CHECK(names.insert(tensor.name).second);
    GH_CHECK(tensor.out > 0 && tensor.in > 0);
    GH_CHECK_EQ(tensor.offset % 64, 0u);
    GH_CHECK_GE(tensor.offset, end);
    GH_CHECK_LE(tensor.bytes, manifest->bytes);
    GH_CHECK_LE(tensor.offset, manifest->bytes - tensor.bytes);
    GH_CHECK(manifest->layouts.contains(tensor.format));
    end = tensor.offset + tensor.bytes;
  }
  const auto again = ParsePackedManifest(FormatPackedManifest(*manifest));
  GH_CHECK(again.ok());
  GH_CHECK(*again == *manifest);
  return 0;
}
