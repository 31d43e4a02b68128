// Every key of the configuration, once: the loader, the GUILDHALL_* names, the schema and --check-config read
// these tables.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/number_range.h"
#include "config/server_config.h"

namespace guildhall {

// What a key says beside the place of its value.
struct KeyRules {
  std::string path;  // "server.listen"
  std::string help;
  NumberRange range = {};                 // of numbers, and of the items of a list of integers
  std::vector<std::string> choices = {};  // strings: the only values
  bool number_too = false;                // strings: a number is taken as its text
  bool secret = false;                    // never printed
  bool file = false;  // a path or paths, relative to the configuration file that names them
};

template <typename Owner, typename Value>
using FieldAccess = std::function<Value&(Owner&)>;

// One key of `Owner`: ServerConfig, TaskConfig for the keys below "tasks.ID", or AdapterConfig for those
// below "adapters.preload.NAME".
template <typename Owner>
struct ConfigKey : KeyRules {
  template <typename Value>
  using Access = FieldAccess<Owner, Value>;

  std::variant<Access<bool>, Access<int64_t>, Access<double>, Access<std::string>,
               Access<std::vector<std::string>>, Access<std::vector<int64_t>>, Access<std::optional<bool>>,
               Access<std::optional<int64_t>>, Access<std::optional<double>>,
               Access<std::vector<TaskAdapter>>, Access<std::vector<std::vector<int64_t>>>>
      field;

  // INVALID_ARGUMENT "WHAT: PATH: expected ..., found ..."; `where` is WHAT: PATH.
  absl::Status Assign(const Json& value, std::string_view where, Owner& owner) const;
  // The value as JSON; null where an optional one is not set. Secrets come as they are.
  Json Get(Owner& owner) const;
  // "string", "integer", "number", "boolean", "array"; of the items for arrays: the first two, "adapter"
  // or "sequence", a list of integers.
  std::string JsonType() const;
  std::string ItemType() const;
  bool optional() const;
  // What the key's type makes of a text (environment, command line): a literal for strings, JSON or a list
  // with commas for arrays, JSON for the rest; "null" for optional ones.
  absl::StatusOr<Json> ParseText(std::string_view text, std::string_view where) const;
};

// Sorted as documented; built once.
const std::vector<ConfigKey<ServerConfig>>& ServerKeys();
const std::vector<ConfigKey<TaskConfig>>& TaskKeys();
const std::vector<ConfigKey<AdapterConfig>>& AdapterKeys();

// The JSON Schema (draft 2020-12) of the configuration file; configs/guildhall.schema.json is its text.
std::string ConfigSchemaText();

}  // namespace guildhall
