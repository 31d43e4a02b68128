#include <cmath>

#include "server/config_keys.h"

namespace guildhall {
namespace {

Json NumberJson(double value, bool integer) {
  if (integer) return Json(static_cast<int64_t>(value));
  return Json(value);
}

template <typename Owner>
Json KeySchema(const ConfigKey<Owner>& key, Owner& defaults) {
  Json schema = Json::object();
  const std::string type = key.JsonType();
  if (key.optional()) {
    schema["type"] = Json::array({type, "null"});
  } else {
    schema["type"] = type;
  }
  schema["description"] = key.help;
  const bool integer = type == "integer" || key.ItemType() == "integer";
  Json& numbers = type == "array" ? schema["items"] : schema;
  if (type == "array") numbers["type"] = key.ItemType();
  if (std::isfinite(key.min))
    numbers[key.above_min ? "exclusiveMinimum" : "minimum"] = NumberJson(key.min, integer);
  if (std::isfinite(key.max)) numbers["maximum"] = NumberJson(key.max, integer);
  if (!key.choices.empty()) schema["enum"] = key.choices;
  schema["default"] = key.Get(defaults);
  return schema;
}

Json EmptyObjectSchema() {
  Json schema = Json::object();
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"] = Json::object();
  return schema;
}

// Puts a key's schema at its path, making the objects on the way.
void Place(Json& root, std::string_view path, Json leaf) {
  Json* at = &root;
  for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    Json& properties = (*at)["properties"];
    const std::string name(path.substr(0, dot));
    if (!properties.contains(name)) properties[name] = EmptyObjectSchema();
    at = &properties[name];
    path.remove_prefix(dot + 1);
  }
  (*at)["properties"][std::string(path)] = std::move(leaf);
}

}  // namespace

std::string ConfigSchemaText() {
  Json root = Json::object();
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "Guildhall server configuration";
  root.update(EmptyObjectSchema());
  root["properties"]["$schema"] = Json::object({{"type", "string"}});
  ServerConfig defaults;
  for (const auto& key : ServerKeys()) Place(root, key.path, KeySchema(key, defaults));
  Json task = EmptyObjectSchema();
  TaskConfig task_defaults;
  for (const auto& key : TaskKeys()) Place(task, key.path, KeySchema(key, task_defaults));
  Json& tasks = root["properties"]["tasks"];
  tasks["type"] = "object";
  tasks["description"] = "tasks by id; the id \"\" configures the base model";
  tasks["propertyNames"] = Json::object({{"pattern", "^([A-Za-z0-9][A-Za-z0-9._:/-]{0,127})?$"}});
  tasks["additionalProperties"] = std::move(task);
  return DumpJson(root, 2) + "\n";
}

}  // namespace guildhall
