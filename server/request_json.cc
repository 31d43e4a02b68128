#include "server/request_json.h"

#include <cstddef>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr int kMaxDepth = 48;
// Of all objects in one JSON text together.
constexpr size_t kMaxKeys = 16'384;

// Its depth is bounded where it was parsed.
size_t CountKeys(const Json& json) {
  size_t keys = json.is_object() ? json.size() : 0;
  if (!json.is_structured()) return 0;
  for (const Json& inner : json) keys += CountKeys(inner);
  return keys;
}

}  // namespace

absl::StatusOr<Json> ParseRequestJson(std::string_view text) {
  JsonLimits limits;
  limits.max_depth = kMaxDepth;
  GH_ASSIGN_OR_RETURN(Json json, ParseJson(text, "JSON", limits));
  if (const size_t keys = CountKeys(json); keys > kMaxKeys) {
    return absl::InvalidArgumentError(StrCat("expected at most ", kMaxKeys, " keys, found ", keys));
  }
  return json;
}

}  // namespace guildhall
