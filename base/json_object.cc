#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

std::string Found(const Json& json) {
  return StrCat("found ", Excerpt(DumpJson(json)));
}

}  // namespace

std::optional<int64_t> WholeNumber(const Json& json) {
  if (json.is_number_unsigned()) {
    const uint64_t wide = json.get<uint64_t>();
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    return wide <= kMost ? std::optional<int64_t>(static_cast<int64_t>(wide)) : std::nullopt;
  }
  if (json.is_number_integer()) return json.get<int64_t>();
  if (!json.is_number_float()) return std::nullopt;
  const double wide = json.get<double>();
  if (std::abs(wide) > 9007199254740992.0 || wide != std::floor(wide)) return std::nullopt;
  return static_cast<int64_t>(wide);
}

JsonObject::JsonObject(const Json& json, std::string what, std::string path)
    : json_(&json), what_(std::move(what)), path_(std::move(path)) {}

absl::StatusOr<JsonObject> JsonObject::From(const Json& json, std::string what, std::string path) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        StrCat(what, path.empty() ? "" : ": ", path, ": expected an object, ", Found(json)));
  }
  return JsonObject(json, std::move(what), std::move(path));
}

bool JsonObject::Has(std::string_view key) const {
  const auto at = json_->find(std::string(key));
  return at != json_->end() && !at->is_null();
}

const Json* JsonObject::Find(std::string_view key) const {
  MarkRead(key);
  const auto at = json_->find(std::string(key));
  return at == json_->end() || at->is_null() ? nullptr : &*at;
}

std::string JsonObject::Where(std::string_view key) const {
  return StrCat(what_, ": ", path_, path_.empty() ? "" : ".", key);
}

absl::Status JsonObject::Error(std::string_view key, std::string_view message) const {
  return absl::InvalidArgumentError(StrCat(Where(key), ": ", message));
}

absl::StatusOr<int64_t> JsonObject::Int(std::string_view key, int64_t min, int64_t max) const {
  const Json* json = Find(key);
  const std::string expected = StrCat("expected an integer from ", min, " to ", max, ", ");
  if (json == nullptr) return Error(key, StrCat(expected, "the key is missing"));
  const std::optional<int64_t> value = WholeNumber(*json);
  if (!value || *value < min || *value > max) return Error(key, StrCat(expected, Found(*json)));
  return *value;
}

absl::StatusOr<double> JsonObject::Number(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected a number, the key is missing");
  if (!json->is_number() || !std::isfinite(json->get<double>())) {
    return Error(key, StrCat("expected a number, ", Found(*json)));
  }
  return json->get<double>();
}

absl::StatusOr<bool> JsonObject::Bool(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected true or false, the key is missing");
  if (!json->is_boolean()) return Error(key, StrCat("expected true or false, ", Found(*json)));
  return json->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected a string, the key is missing");
  if (!json->is_string()) return Error(key, StrCat("expected a string, ", Found(*json)));
  return json->get<std::string>();
}

absl::StatusOr<JsonObject> JsonObject::Object(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected an object, the key is missing");
  return From(*json, what_, StrCat(path_, path_.empty() ? "" : ".", key));
}

absl::StatusOr<int64_t> JsonObject::IntOr(std::string_view key, int64_t fallback, int64_t min,
                                          int64_t max) const {
  if (Find(key) == nullptr) return fallback;
  return Int(key, min, max);
}

absl::StatusOr<double> JsonObject::NumberOr(std::string_view key, double fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Number(key);
}

absl::StatusOr<bool> JsonObject::BoolOr(std::string_view key, bool fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Bool(key);
}

absl::StatusOr<std::string> JsonObject::StringOr(std::string_view key, std::string_view fallback) const {
  if (Find(key) == nullptr) return std::string(fallback);
  return String(key);
}

absl::StatusOr<std::vector<int64_t>> JsonObject::IntsOr(std::string_view key,
                                                        std::vector<int64_t> fallback) const {
  const Json* json = Find(key);
  if (json == nullptr) return fallback;
  std::vector<int64_t> values;
  const absl::Status bad = Error(key, StrCat("expected a list of integers, ", Found(*json)));
  if (!json->is_array()) return bad;
  for (const Json& item : *json) {
    if (!item.is_number_integer()) return bad;
    if (item.is_number_unsigned() &&
        item.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return bad;
    values.push_back(item.get<int64_t>());
  }
  return values;
}

absl::StatusOr<std::vector<std::string>> JsonObject::StringsOr(std::string_view key,
                                                               std::vector<std::string> fallback) const {
  const Json* json = Find(key);
  if (json == nullptr) return fallback;
  std::vector<std::string> values;
  const absl::Status bad = Error(key, StrCat("expected a list of strings, ", Found(*json)));
  if (!json->is_array()) return bad;
  for (const Json& item : *json) {
    if (!item.is_string()) return bad;
    values.push_back(item.get<std::string>());
  }
  return values;
}

void JsonObject::MarkRead(std::string_view key) const {
  for (const std::string& known : read_) {
    if (known == key) return;
  }
  read_.emplace_back(key);
}

std::vector<std::string> JsonObject::Unread() const {
  const std::unordered_set<std::string> read(read_.begin(), read_.end());
  std::vector<std::string> unread;
  for (const auto& [key, value] : json_->items()) {
    if (!read.contains(key)) unread.push_back(key);
  }
  return unread;
}

absl::Status JsonObject::CheckAllRead() const {
  const std::vector<std::string> unread = Unread();
  if (unread.empty()) return absl::OkStatus();
  const std::string& key = unread.front();
  std::string message = StrCat("unknown key ", Quote(key));
  if (const auto near = NearestName(key, read_)) StrAppend(&message, "; did you mean \"", *near, "\"?");
  return absl::InvalidArgumentError(StrCat(what_, ": ", path_, path_.empty() ? "" : ": ", message));
}

std::optional<std::string> NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;  // the cost is quadratic, and no key of ours is longer
  if (name.empty() || name.size() > kLongest) return std::nullopt;
  size_t best = std::max<size_t>(1, name.size() / 4) + 1;
  std::optional<std::string> nearest;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    // Edit distance with swapped neighbours as one edit; three rows of the table.
    std::vector<size_t> before, last(candidate.size() + 1), row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      before = last;
      last = row;
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t substitute = last[j - 1] + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        row[j] = std::min({substitute, last[j] + 1, row[j - 1] + 1});
        if (i > 1 && j > 1 && name[i - 1] == candidate[j - 2] && name[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
    }
    if (row.back() < best) {
      best = row.back();
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace guildhall
