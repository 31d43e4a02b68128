// Whatever the text: a refusal, or a manifest whose tensors lie in the file and that is read as it is written.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "base/align.h"
#include "base/check.h"
#include "model/packed_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const auto manifest = ParsePackedManifest({reinterpret_cast<const char*>(data), size});
  if (!manifest.ok()) {
    GH_CHECK_LT(manifest.status().message().size(), 2000u);
    return 0;
  }
  uint64_t at = 0;
  std::set<std::string_view> names;
  for (const PackedTensor& tensor : manifest->tensors) {
    GH_CHECK(names.insert(tensor.name).second);
    GH_CHECK(tensor.out >= 1 && tensor.in >= 1);
    GH_CHECK_EQ(tensor.offset % kAlignment, 0u);
    GH_CHECK_GE(tensor.offset, at);
    GH_CHECK_LE(tensor.offset, manifest->bytes);
    GH_CHECK_LE(tensor.bytes, manifest->bytes - tensor.offset);
    GH_CHECK(manifest->layouts.contains(tensor.format));
    at = tensor.offset + tensor.bytes;
  }
  const auto again = ParsePackedManifest(FormatPackedManifest(*manifest));
  GH_CHECK(again.ok() && *again == *manifest);
  return 0;
}
