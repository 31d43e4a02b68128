#include <cmath>

#include "config/keys.h"
#include "config/names.h"
#include "config/task_adapters.h"

namespace guildhall {
namespace {

Json NumberJson(double value, bool integer) {
  if (integer) return Json(static_cast<int64_t>(value));
  return Json(value);
}

Json EmptyObjectSchema() {
  Json schema = Json::object();
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"] = Json::object();
  return schema;
}

// A name, or a name with a factor.
Json TaskAdapterSchema() {
  const Json name = Json::object({{"type", "string"}, {"pattern", kAdapterNamePattern}});
  Json object = EmptyObjectSchema();
  object["required"] = Json::array({"name"});
  object["properties"]["name"] = name;
  object["properties"]["scale"] = Json::object(
      {{"type", "number"}, {"minimum", -kMaxAdapterScale}, {"maximum", kMaxAdapterScale}, {"default", 1.0}});
  return Json::object({{"anyOf", Json::array({name, object})}});
}

template <typename Owner>
Json KeySchema(const ConfigKey<Owner>& key, Owner& defaults) {
  Json schema = Json::object();
  const std::string type = key.JsonType();
  if (key.optional()) {
    schema["type"] = Json::array({type, "null"});
  } else if (key.number_too) {
    schema["type"] = Json::array({type, "number"});
  } else {
    schema["type"] = type;
  }
  schema["description"] = key.help;
  const bool sequences = key.ItemType() == "sequence";
  const bool integer = type == "integer" || key.ItemType() == "integer" || sequences;
  if (sequences) schema["items"] = Json::object({{"type", "array"}, {"minItems", 1}});
  Json& numbers = sequences ? schema["items"]["items"] : type == "array" ? schema["items"] : schema;
  if (key.ItemType() == "adapter") {
    numbers = TaskAdapterSchema();
  } else if (sequences) {
    numbers["type"] = "integer";
  } else if (type == "array") {
    numbers["type"] = key.ItemType();
  }
  const NumberRange& range = key.range;
  if (std::isfinite(range.min)) {
    numbers[range.above_min ? "exclusiveMinimum" : "minimum"] = NumberJson(range.min, integer);
  }
  if (std::isfinite(range.max)) numbers["maximum"] = NumberJson(range.max, integer);
  if (!key.choices.empty()) schema["enum"] = key.choices;
  schema["default"] = key.Get(defaults);
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

// An object whose members all have these keys.
template <typename Owner>
Json MapSchema(const std::vector<ConfigKey<Owner>>& keys, const char* names, const char* help) {
  Json member = EmptyObjectSchema();
  Owner defaults;
  for (const auto& key : keys) Place(member, key.path, KeySchema(key, defaults));
  Json map = Json::object();
  map["type"] = "object";
  map["description"] = help;
  map["propertyNames"] = Json::object({{"pattern", names}});
  map["additionalProperties"] = std::move(member);
  return map;
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
  Json& preload = root["properties"]["adapters"]["properties"]["preload"];
  preload = MapSchema(AdapterKeys(), kAdapterNamePattern, "adapters by name, loaded at start");
  preload["additionalProperties"]["required"] = Json::array({"path"});
  root["properties"]["tasks"] =
      MapSchema(TaskKeys(), kTaskIdPattern, "tasks by id; the id \"\" configures the base model");
  return DumpJson(root, 2) + "\n";
}

}  // namespace guildhall
