// Strict JSON for every file and message that we read: caps,
// no duplicate keys, typed getters that name the key's path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_bytes = size_t{64} << 20;
  int max_depth = 64;
  bool comments = false;  // allow // and /* */ (our own config files)
};

// Parses one value. INVALID_ARGUMENT with line and column for bad syntax, a duplicate key (named), invalid
// UTF-8, trailing text, depth or size over the cap, an integer outside int64/uint64. `what` begins the
// message ("config.json").
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, const JsonLimits& limits = {});

// Never throws: invalid UTF-8 in strings is replaced.
std::string DumpJson(const Json& json, int indent = -1);

// Cut to a length that fits into a message, never inside a UTF-8 sequence.
std::string Excerpt(std::string text, size_t most = 60);

// Text from outside, as a message may show it: quoted, escaped, cut to `most` characters.
std::string Quote(std::string_view text, size_t most = 100);

// The integer that a number is: 16 and 16.0, not 16.5. Nothing beyond 64 bits, or beyond 2^53 where it is
// written with a point.
std::optional<int64_t> WholeNumber(const Json& json);

// A cursor into an object: typed getters whose errors read "config.json: rope_scaling.factor: expected a
// number, found "two"". Every getter marks its key as read; CheckAllRead() then refuses the keys that nobody
// read, with the nearest known name. Not thread-safe; the Json must outlive it.
class JsonObject {
 public:
  // INVALID_ARGUMENT unless `json` is an object. `what` is the
  // file or message, `path` the place in it ("" at the top).
  static absl::StatusOr<JsonObject> From(const Json& json, std::string what, std::string path = "");

  const Json& json() const { return *json_; }
  bool Has(std::string_view key) const;          // present and not null
  const Json* Find(std::string_view key) const;  // marks as read; nullptr when absent or null

  // Required values.
  absl::StatusOr<int64_t> Int(std::string_view key, int64_t min,
                              int64_t max) const;             // accepts 16.0, not 16.5
  absl::StatusOr<double> Number(std::string_view key) const;  // finite
  absl::StatusOr<bool> Bool(std::string_view key) const;
  absl::StatusOr<std::string> String(std::string_view key) const;
  absl::StatusOr<JsonObject> Object(std::string_view key) const;

  // Optional values: the fallback when absent or null; still an error when present with the wrong type.
  absl::StatusOr<int64_t> IntOr(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  absl::StatusOr<double> NumberOr(std::string_view key, double fallback) const;
  absl::StatusOr<bool> BoolOr(std::string_view key, bool fallback) const;
  absl::StatusOr<std::string> StringOr(std::string_view key, std::string_view fallback) const;
  absl::StatusOr<std::vector<int64_t>> IntsOr(std::string_view key, std::vector<int64_t> fallback) const;
  absl::StatusOr<std::vector<std::string>> StringsOr(std::string_view key,
                                                     std::vector<std::string> fallback) const;

  void MarkRead(std::string_view key) const;
  std::vector<std::string> Unread() const;
  const std::vector<std::string>& Known() const { return read_; }  // keys that were asked for
  // INVALID_ARGUMENT naming the first unread key and the nearest one that was read.
  absl::Status CheckAllRead() const;

  // "config.json: rope_scaling.factor" for messages of the caller's own.
  std::string Where(std::string_view key) const;
  absl::Status Error(std::string_view key, std::string_view message) const;

 private:
  JsonObject(const Json& json, std::string what, std::string path);
  const Json* json_;
  std::string what_;
  std::string path_;
  mutable std::vector<std::string> read_;
};

// The candidate with the smallest edit distance to `name`, if it is near enough to be a typo.
std::optional<std::string> NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace guildhall
