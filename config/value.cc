// How one key's value is read, checked and shown.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/status.h"
#include "base/str_cat.h"
#include "config/keys.h"
#include "config/task_adapters.h"

namespace guildhall {
namespace {

template <typename T>
struct Unwrapped {
  using Type = T;
  static constexpr bool kOptional = false;
};
template <typename T>
struct Unwrapped<std::optional<T>> {
  using Type = T;
  static constexpr bool kOptional = true;
};

// The value type behind an Access<...> of the variant.
template <typename Access>
struct ValueOf;
template <typename Owner, typename Value>
struct ValueOf<std::function<Value&(Owner&)>> {
  using Type = Value;
};

template <typename T>
constexpr const char* TypeName() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, double>) return "number";
  if constexpr (std::is_same_v<T, std::string>) return "string";
  return "array";
}

// One value of the outside, on its way to a key.
struct Given {
  const KeyRules& key;
  const Json& value;
  std::string_view where;

  absl::Status Expected(std::string_view what) const {
    const std::string found = key.secret ? "another type" : Excerpt(DumpJson(value), 80);
    return absl::InvalidArgumentError(StrCat(where, ": expected ", what, ", found ", found));
  }
};

absl::Status Read(const Given& given, bool& out) {
  if (!given.value.is_boolean()) return given.Expected("true or false");
  out = given.value.get<bool>();
  return absl::OkStatus();
}

absl::Status Read(const Given& given, int64_t& out) {
  const auto whole = WholeNumber(given.value);
  if (!whole || !given.key.range.Contains(static_cast<double>(*whole))) {
    return given.Expected(StrCat("an integer", given.key.range.Text()));
  }
  out = *whole;
  return absl::OkStatus();
}

absl::Status Read(const Given& given, double& out) {
  const double number = given.value.is_number() ? given.value.get<double>() : std::nan("");
  if (!std::isfinite(number) || !given.key.range.Contains(number)) {
    return given.Expected(StrCat("a number", given.key.range.Text()));
  }
  out = number;
  return absl::OkStatus();
}

absl::Status Read(const Given& given, std::string& out) {
  const KeyRules& key = given.key;
  const bool number = key.number_too && given.value.is_number();
  if (!given.value.is_string() && !number) {
    return given.Expected(key.number_too ? "a string or a number" : "a string");
  }
  std::string text = number ? DumpJson(given.value) : given.value.get<std::string>();
  // Else a variable that was never filled would open what it should close.
  if (key.secret && text.empty()) return given.Expected("a secret of one character or more");
  if (!key.choices.empty() && std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end()) {
    std::string list;
    for (const std::string& choice : key.choices) {
      StrAppend(&list, list.empty() ? "" : ", ", "\"", choice, "\"");
    }
    return given.Expected(StrCat("one of ", list));
  }
  out = std::move(text);
  return absl::OkStatus();
}

absl::Status Read(const Given& given, std::vector<std::string>& out) {
  const bool strings =
      given.value.is_array() &&
      std::all_of(given.value.begin(), given.value.end(), [](const Json& item) { return item.is_string(); });
  if (!strings) return given.Expected("a list of strings");
  out = given.value.get<std::vector<std::string>>();
  return absl::OkStatus();
}

absl::Status Read(const Given& given, std::vector<int64_t>& out) {
  std::vector<int64_t> items;
  bool good = given.value.is_array();
  for (size_t i = 0; good && i < given.value.size(); ++i) {
    const auto whole = WholeNumber(given.value[i]);
    good = whole && given.key.range.Contains(static_cast<double>(*whole));
    if (good) items.push_back(*whole);
  }
  if (!good) return given.Expected(StrCat("a list of integers", given.key.range.Text()));
  out = std::move(items);
  return absl::OkStatus();
}

absl::Status Read(const Given& given, std::vector<std::vector<int64_t>>& out) {
  if (!given.value.is_array()) return given.Expected("a list of lists of integers");
  std::vector<std::vector<int64_t>> lists;
  for (const Json& item : given.value) {
    std::vector<int64_t> list;
    if (!item.is_array() || item.empty() || !Read(Given{given.key, item, given.where}, list).ok()) {
      return given.Expected(StrCat("a list of lists of integers", given.key.range.Text()));
    }
    lists.push_back(std::move(list));
  }
  out = std::move(lists);
  return absl::OkStatus();
}

absl::Status Read(const Given& given, std::vector<TaskAdapter>& out) {
  GH_ASSIGN_OR_RETURN(out, ReadTaskAdapters(given.value, std::string(given.where)));
  return absl::OkStatus();
}

template <typename Value>
absl::Status Read(const Given& given, std::optional<Value>& out) {
  if (given.value.is_null()) {
    out.reset();
    return absl::OkStatus();
  }
  Value value{};
  GH_RETURN_IF_ERROR(Read(given, value));
  out = value;
  return absl::OkStatus();
}

template <typename Value>
Json ToJson(const Value& value) {
  return Json(value);
}
template <typename Value>
Json ToJson(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json ToJson(const std::vector<TaskAdapter>& adapters) {
  return TaskAdaptersJson(adapters);
}

// "a,b": items are numbers where the key's are.
absl::StatusOr<Json> ParseList(std::string_view text, bool integers, std::string_view where) {
  Json items = Json::array();
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    if (!integers) {
      items.push_back(std::string(item));
      continue;
    }
    GH_ASSIGN_OR_RETURN(Json number, ParseJson(item, where));
    items.push_back(std::move(number));
  }
  return items;
}

}  // namespace

template <typename Owner>
absl::Status ConfigKey<Owner>::Assign(const Json& value, std::string_view where, Owner& owner) const {
  return std::visit(
      [&](const auto& access) {
        return Read(Given{*this, value, where}, access(owner));
      },
      field);
}

template <typename Owner>
Json ConfigKey<Owner>::Get(Owner& owner) const {
  return std::visit([&](const auto& access) -> Json { return ToJson(access(owner)); }, field);
}

template <typename Owner>
std::string ConfigKey<Owner>::JsonType() const {
  return std::visit(
      [](const auto& access) -> std::string {
        using Stored = typename ValueOf<std::remove_cvref_t<decltype(access)>>::Type;
        return TypeName<typename Unwrapped<Stored>::Type>();
      },
      field);
}

template <typename Owner>
std::string ConfigKey<Owner>::ItemType() const {
  if (JsonType() != "array") return "";
  if (std::holds_alternative<Access<std::vector<TaskAdapter>>>(field)) return "adapter";
  if (std::holds_alternative<Access<std::vector<std::vector<int64_t>>>>(field)) return "sequence";
  return std::holds_alternative<Access<std::vector<std::string>>>(field) ? "string" : "integer";
}

template <typename Owner>
bool ConfigKey<Owner>::optional() const {
  return std::visit(
      [](const auto& access) {
        using Stored = typename ValueOf<std::remove_cvref_t<decltype(access)>>::Type;
        return Unwrapped<Stored>::kOptional;
      },
      field);
}

template <typename Owner>
absl::StatusOr<Json> ConfigKey<Owner>::ParseText(std::string_view text, std::string_view where) const {
  if (JsonType() == "string") return Json(std::string(text));
  if (JsonType() == "array" && (text.empty() || text.front() != '[')) {
    return ParseList(text, ItemType() == "integer" || ItemType() == "sequence", where);
  }
  auto parsed = ParseJson(text, where);
  // "cpu.threads = two": the type that is expected helps more than a syntax error of JSON.
  if (!parsed.ok()) return Json(std::string(text));
  return parsed;
}

template struct ConfigKey<ServerConfig>;
template struct ConfigKey<TaskConfig>;
template struct ConfigKey<AdapterConfig>;

}  // namespace guildhall
