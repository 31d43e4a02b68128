// How one key's value is read, checked and shown.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/keys.h"

namespace guildhall {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

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

std::string NumberText(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) return StrCat(static_cast<int64_t>(value));
  return StrCat(value);
}

std::string RangeText(double min, double max, bool above_min) {
  const char* from = above_min ? " above " : " from ";
  if (min == -kInfinity && max == kInfinity) return "";
  if (max == kInfinity)
    return above_min ? StrCat(" above ", NumberText(min)) : StrCat(" of at least ", NumberText(min));
  return StrCat(from, NumberText(min), " to ", NumberText(max));
}

absl::Status Expected(std::string_view where, std::string_view what, const Json& found, bool secret) {
  if (secret) return absl::InvalidArgumentError(StrCat(where, ": expected ", what, ", found another type"));
  std::string text = DumpJson(found);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return absl::InvalidArgumentError(StrCat(where, ": expected ", what, ", found ", text));
}

bool InRange(double value, double min, double max, bool above_min) {
  return (above_min ? value > min : value >= min) && value <= max;
}

// "math", or {"name": "math", "scale": 0.5}.
absl::StatusOr<TaskAdapter> ReadTaskAdapter(const Json& value, const std::string& where) {
  TaskAdapter adapter;
  if (value.is_string()) {
    adapter.name = value.get<std::string>();
  } else {
    GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(value, where));
    GH_ASSIGN_OR_RETURN(adapter.name, object.String("name"));
    GH_ASSIGN_OR_RETURN(adapter.scale, object.NumberOr("scale", 1.0));
    GH_RETURN_IF_ERROR(object.CheckAllRead());
  }
  if (!ValidAdapterName(adapter.name)) {
    return absl::InvalidArgumentError(StrCat(where, ": ", Quote(adapter.name),
                                             " is no adapter's name: expected 1 to 128 letters, digits and "
                                             ". _ -"));
  }
  if (!(std::abs(adapter.scale) <= kMaxAdapterScale)) {
    return absl::InvalidArgumentError(StrCat(where, ": scale: expected a number from ", -kMaxAdapterScale,
                                             " to ", kMaxAdapterScale, ", found ", adapter.scale));
  }
  return adapter;
}

absl::StatusOr<std::vector<TaskAdapter>> ReadTaskAdapters(const Json& value, const std::string& where) {
  if (!value.is_array()) {
    return absl::InvalidArgumentError(
        StrCat(where, ": expected a list of adapters, each a name or {\"name\": ..., \"scale\": ...}, found ",
               Excerpt(DumpJson(value), 80)));
  }
  if (value.size() > kMaxTaskAdapters) {
    return absl::InvalidArgumentError(
        StrCat(where, ": expected at most ", kMaxTaskAdapters, " adapters, found ", value.size()));
  }
  std::vector<TaskAdapter> adapters;
  for (size_t i = 0; i < value.size(); ++i) {
    GH_ASSIGN_OR_RETURN(TaskAdapter adapter, ReadTaskAdapter(value[i], StrCat(where, "[", i, "]")));
    for (const TaskAdapter& other : adapters) {
      if (other.name == adapter.name)
        return absl::InvalidArgumentError(StrCat(where, "[", i, "]: ", adapter.name, " is there twice"));
    }
    adapters.push_back(std::move(adapter));
  }
  return adapters;
}

// A name alone where the factor is 1.
Json TaskAdaptersJson(const std::vector<TaskAdapter>& adapters) {
  Json list = Json::array();
  for (const TaskAdapter& adapter : adapters) {
    if (adapter.scale == 1.0) {
      list.push_back(adapter.name);
    } else {
      list.push_back(Json::object({{"name", adapter.name}, {"scale", adapter.scale}}));
    }
  }
  return list;
}

template <typename Owner>
absl::Status AssignValue(const ConfigKey<Owner>& key, const Json& value, std::string_view where,
                         auto& field) {
  using Stored = std::remove_reference_t<decltype(field)>;
  using Value = typename Unwrapped<Stored>::Type;
  if (Unwrapped<Stored>::kOptional && value.is_null()) {
    field = Stored{};
    return absl::OkStatus();
  }
  const auto expected = [&](const std::string& what) { return Expected(where, what, value, key.secret); };
  Json holder = Json::object();
  holder["value"] = value;
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(holder, std::string(where)));
  if constexpr (std::is_same_v<Value, bool>) {
    if (!value.is_boolean()) return expected("true or false");
    field = value.get<bool>();
  } else if constexpr (std::is_same_v<Value, int64_t>) {
    auto parsed = object.Int("value", static_cast<int64_t>(key.min), static_cast<int64_t>(key.max));
    if (!parsed.ok()) return expected(StrCat("an integer", RangeText(key.min, key.max, false)));
    field = *parsed;
  } else if constexpr (std::is_same_v<Value, double>) {
    auto parsed = object.Number("value");
    if (!parsed.ok() || !InRange(*parsed, key.min, key.max, key.above_min)) {
      return expected(StrCat("a number", RangeText(key.min, key.max, key.above_min)));
    }
    field = *parsed;
  } else if constexpr (std::is_same_v<Value, std::string>) {
    const bool number = key.number_too && value.is_number();
    if (!value.is_string() && !number) return expected(key.number_too ? "a string or a number" : "a string");
    const std::string text = number ? DumpJson(value) : value.get<std::string>();
    if (!key.choices.empty() &&
        std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end()) {
      std::string list;
      for (const std::string& choice : key.choices)
        StrAppend(&list, list.empty() ? "" : ", ", "\"", choice, "\"");
      return expected(StrCat("one of ", list));
    }
    field = text;
  } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
    auto parsed = object.StringsOr("value", {});
    if (!value.is_array() || !parsed.ok()) return expected("a list of strings");
    field = *std::move(parsed);
  } else if constexpr (std::is_same_v<Value, std::vector<TaskAdapter>>) {
    GH_ASSIGN_OR_RETURN(field, ReadTaskAdapters(value, std::string(where)));
  } else {
    auto parsed = object.IntsOr("value", {});
    const auto bad = [&](int64_t item) {
      return !InRange(static_cast<double>(item), key.min, key.max, false);
    };
    if (!value.is_array() || !parsed.ok() || std::any_of(parsed->begin(), parsed->end(), bad)) {
      return expected(StrCat("a list of integers", RangeText(key.min, key.max, false)));
    }
    field = *std::move(parsed);
  }
  return absl::OkStatus();
}

}  // namespace

template <typename Owner>
absl::Status ConfigKey<Owner>::Assign(const Json& value, std::string_view where, Owner& owner) const {
  return std::visit([&](const auto& access) { return AssignValue(*this, value, where, access(owner)); },
                    field);
}

template <typename Owner>
Json ConfigKey<Owner>::Get(Owner& owner) const {
  return std::visit(
      [&](const auto& access) -> Json {
        const auto& stored = access(owner);
        if constexpr (Unwrapped<std::remove_cvref_t<decltype(stored)>>::kOptional) {
          return stored ? Json(*stored) : Json(nullptr);
        } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(stored)>,
                                            std::vector<TaskAdapter>>) {
          return TaskAdaptersJson(stored);
        } else {
          return Json(stored);
        }
      },
      field);
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
    Json items = Json::array();
    while (!text.empty()) {
      const size_t comma = text.find(',');
      const std::string_view item = text.substr(0, comma);
      text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
      if (ItemType() != "integer") {
        items.push_back(std::string(item));
      } else {
        GH_ASSIGN_OR_RETURN(Json number, ParseJson(item, where));
        items.push_back(std::move(number));
      }
    }
    return items;
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
