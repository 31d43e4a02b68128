// Whatever the bytes: a refusal, or a header that keeps every rule of the format.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>

#include "base/check.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const auto header = ParseSafetensorsHeader(std::as_bytes(std::span(data, size)), size);
  if (!header.ok()) {
    GH_CHECK(header.status().code() == absl::StatusCode::kInvalidArgument);
    GH_CHECK_LT(header.status().message().size(), 2000u);
    return 0;
  }
  GH_CHECK_LE(header->buffer_offset, size);
  size_t at = 0;
  std::set<std::string_view> names;
  for (const SafetensorsEntry& entry : header->entries) {
    GH_CHECK(names.insert(entry.name).second);
    GH_CHECK_EQ(entry.begin, at);
    GH_CHECK_GE(entry.end, entry.begin);
    for (const int64_t dim : entry.shape) GH_CHECK_GE(dim, 0);
    at = entry.end;
  }
  GH_CHECK_EQ(header->buffer_offset + at, size);
  return 0;
}
