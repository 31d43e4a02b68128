// Reads the keys of config.json for the families: never stops
// at the first fault, and knows which keys were asked for.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "checkpoint/problems.h"

namespace guildhall {

// Every getter marks its key as known. A value of the wrong type or out of range is a problem, and the
// fallback stands in for it so that the reading goes on. The object and the problems must outlive the reader.
class ConfigReader {
 public:
  static constexpr int64_t kMaxSize = int64_t{1} << 24;  // no published width or vocabulary comes near

  // `ignored`: paths of keys ("foo", "rope_scaling.foo") whose refusal the operator waives; outlives it.
  ConfigReader(const JsonObject& object, Problems& problems, const std::vector<std::string>& ignored = kNone)
      : object_(object), problems_(problems), ignored_(ignored) {}

  bool Has(std::string_view key) const { return object_.Has(key); }  // present and not null
  bool IsNull(std::string_view key) const;                           // present and null

  int64_t Int(std::string_view key, int64_t fallback, int64_t min = 1, int64_t max = kMaxSize);
  // A size inside a head or a low-rank form.
  int Dim(std::string_view key, int64_t fallback, int64_t min = 1) {
    return static_cast<int>(Int(key, fallback, min, 1 << 16));
  }
  double Number(std::string_view key, double fallback);
  double PositiveNumber(std::string_view key, double fallback);
  bool Bool(std::string_view key, bool fallback);
  std::string String(std::string_view key, std::string_view fallback);
  std::vector<int64_t> Ints(std::string_view key);
  std::vector<std::string> Strings(std::string_view key);

  // Two names of one key: the one that is there. A problem when both are there and differ.
  std::string_view EitherName(std::string_view first, std::string_view second);

  // Whether the operator declares the key harmless: then no rule refuses its value, and it counts as the one
  // that is served. Not for what shapes the weights.
  bool Waives(std::string_view key) const;
  const std::vector<std::string>& ignored() const { return ignored_; }

  // A key that need not be there; with another value it would change the result in a way that is not served.
  // Neither refuses what is waived.
  void MustBe(std::string_view key, const Json& value, std::string_view cure = "");
  void MustBeAbsent(std::string_view key, std::string_view cure = "");
  void Required(std::string_view key);

  // "config.json: KEY: expected EXPECTED, found ...: CURE"
  void Refuse(std::string_view key, std::string_view expected, std::string_view cure = "");

  const JsonObject& object() const { return object_; }
  Problems& problems() { return problems_; }

 private:
  template <typename T>
  T Take(absl::StatusOr<T> value, T fallback);

  inline static const std::vector<std::string> kNone;

  const JsonObject& object_;
  Problems& problems_;
  const std::vector<std::string>& ignored_;
};

}  // namespace guildhall
