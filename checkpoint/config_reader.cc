#include "checkpoint/config_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/str_cat.h"

namespace guildhall {

template <typename T>
T ConfigReader::Take(absl::StatusOr<T> value, T fallback) {
  if (value.ok()) return *std::move(value);
  problems_.Add(value.status());
  return fallback;
}

bool ConfigReader::IsNull(std::string_view key) const {
  const auto at = object_.json().find(std::string(key));
  return at != object_.json().end() && at->is_null();
}

int64_t ConfigReader::Int(std::string_view key, int64_t fallback, int64_t min, int64_t max) {
  return Take(object_.IntOr(key, fallback, min, max), fallback);
}

double ConfigReader::Number(std::string_view key, double fallback) {
  const double value = Take(object_.NumberOr(key, fallback), fallback);
  // Well inside the range of a float, which is what later arithmetic uses.
  if (std::abs(value) <= 1e30) return value;
  Refuse(key, "a number from -1e30 to 1e30");
  return fallback;
}

double ConfigReader::PositiveNumber(std::string_view key, double fallback) {
  const double value = Number(key, fallback);
  if (value >= 1e-30) return value;
  Refuse(key, "a number above 0");
  return fallback;
}

bool ConfigReader::Bool(std::string_view key, bool fallback) {
  return Take(object_.BoolOr(key, fallback), fallback);
}

std::string ConfigReader::String(std::string_view key, std::string_view fallback) {
  return Take(object_.StringOr(key, fallback), std::string(fallback));
}

std::vector<int64_t> ConfigReader::Ints(std::string_view key) {
  return Take(object_.IntsOr(key, {}), {});
}

std::vector<std::string> ConfigReader::Strings(std::string_view key) {
  return Take(object_.StringsOr(key, {}), {});
}

std::string_view ConfigReader::EitherName(std::string_view first, std::string_view second) {
  const Json* a = object_.Find(first);
  const Json* b = object_.Find(second);
  if (a != nullptr && b != nullptr && *a != *b) {
    Refuse(second, StrCat("the same value as ", first, " (", DumpJson(*a), "), which has the same meaning"),
           "remove the wrong one");
  }
  return a == nullptr && b != nullptr ? second : first;
}

bool ConfigReader::Waives(std::string_view key) const {
  std::string path = object_.Where(key);
  path.erase(0, path.find(": ") + 2);
  return std::find(ignored_.begin(), ignored_.end(), path) != ignored_.end();
}

void ConfigReader::MustBe(std::string_view key, const Json& value, std::string_view cure) {
  const Json* found = object_.Find(key);
  if (found != nullptr && *found != value && !Waives(key)) Refuse(key, DumpJson(value), cure);
}

void ConfigReader::MustBeAbsent(std::string_view key, std::string_view cure) {
  if (object_.Find(key) != nullptr && !Waives(key)) Refuse(key, "no such key, or null", cure);
}

void ConfigReader::Required(std::string_view key) {
  if (!Has(key)) problems_.Add(StrCat(object_.Where(key), ": the key is missing"));
}

void ConfigReader::Refuse(std::string_view key, std::string_view expected, std::string_view cure) {
  const Json* found = object_.Find(key);
  const std::string value = found == nullptr ? "nothing" : Excerpt(DumpJson(*found), 100);
  problems_.Add(
      StrCat(object_.Where(key), ": expected ", expected, ", found ", value, cure.empty() ? "" : ": ", cure));
}

}  // namespace guildhall
