#include "server/http/json_values.h"

#include <algorithm>
#include <limits>

#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/request_json.h"

namespace guildhall {
namespace {

// Of one value in its array or object, and of what it allocates beside its bytes.
constexpr uint64_t kValueBytes = 16;
constexpr uint64_t kAllocationBytes = 80;

// As the text has it, short.
std::string Found(const Json& value) {
  if (value.is_structured()) return value.type_name();
  return Excerpt(DumpJson(value));
}

}  // namespace

absl::Status WrongValue(const std::string& path, std::string_view expected, const Json& found) {
  return FieldError(path, StrCat("expected ", expected, ", found ", Found(found)));
}

absl::StatusOr<bool> BoolOf(const Json& value, const std::string& path) {
  if (!value.is_boolean()) return WrongValue(path, "true or false", value);
  return value.get<bool>();
}

absl::StatusOr<int64_t> IntOf(const Json& value, const std::string& path) {
  const std::optional<int64_t> number = value.is_number() ? WholeNumber(value) : std::nullopt;
  if (!number) return WrongValue(path, "an integer", value);
  return *number;
}

absl::StatusOr<int32_t> TokenOf(const Json& value, const std::string& path) {
  const std::optional<int64_t> number = value.is_number() ? WholeNumber(value) : std::nullopt;
  if (!number || *number < 0 || *number > std::numeric_limits<int32_t>::max()) {
    return WrongValue(path, "a token id", value);
  }
  return static_cast<int32_t>(*number);
}

absl::StatusOr<float> NumberOf(const Json& value, const std::string& path) {
  if (!value.is_number()) return WrongValue(path, "a number", value);
  return value.get<float>();
}

absl::StatusOr<std::string> StringOf(const Json& value, const std::string& path) {
  if (!value.is_string()) return WrongValue(path, "a string", value);
  return value.get<std::string>();
}

absl::Status MustBeObject(const Json& value, const std::string& path) {
  return value.is_object() ? absl::OkStatus() : WrongValue(path, "an object", value);
}

absl::Status MustBeArray(const Json& value, const std::string& path) {
  return value.is_array() ? absl::OkStatus() : WrongValue(path, "an array", value);
}

const Json* ValueOf(const Json& object, std::string_view key) {
  const auto at = object.find(std::string(key));
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

absl::StatusOr<Json> ParseBody(std::string_view body) {
  auto json = ParseRequestJson(body);
  if (!json.ok()) {
    return absl::InvalidArgumentError(StrCat("the request's body: ", json.status().message()));
  }
  if (!json->is_object()) {
    return absl::InvalidArgumentError(
        StrCat("the request's body: expected a JSON object, found ", json->type_name()));
  }
  return json;
}

uint64_t TreeBytes(std::string_view body) {
  uint64_t values = 1, allocations = 1;
  for (const char c : body) {
    values += c == ',' || c == ':' ? 1 : 0;
    allocations += c == '[' || c == '{' || c == '"' ? 1 : 0;
  }
  return 2 * body.size() + 2 * kValueBytes * values + kAllocationBytes * allocations;
}

}  // namespace guildhall
