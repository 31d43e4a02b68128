// Values of a request's JSON, each taken by what it must be. Errors are INVALID_ARGUMENT with the
// field's path.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace guildhall {

// "expected a number, found string" of the value at `path`.
absl::Status WrongValue(const std::string& path, std::string_view expected, const Json& found);

absl::StatusOr<bool> BoolOf(const Json& value, const std::string& path);
absl::StatusOr<int64_t> IntOf(const Json& value, const std::string& path);  // 16 and 16.0, not 16.5
absl::StatusOr<int32_t> TokenOf(const Json& value, const std::string& path);
absl::StatusOr<float> NumberOf(const Json& value, const std::string& path);
absl::StatusOr<std::string> StringOf(const Json& value, const std::string& path);
absl::Status MustBeObject(const Json& value, const std::string& path);
absl::Status MustBeArray(const Json& value, const std::string& path);

// The value of `key` in an object; null where it is absent or null.
const Json* ValueOf(const Json& object, std::string_view key);

// A request's whole body: an object. `path`-less errors say where the text is wrong.
absl::StatusOr<Json> ParseBody(std::string_view body);
// What a tree of values that is made of `body` takes at most.
uint64_t TreeBytes(std::string_view body);

}  // namespace guildhall
