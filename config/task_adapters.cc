#include "config/task_adapters.h"

#include <cmath>

#include "base/status.h"
#include "base/str_cat.h"
#include "config/names.h"

namespace guildhall {
namespace {

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
    return absl::InvalidArgumentError(
        StrCat(where, ": ", Quote(adapter.name), " is no adapter's name: ", kAdapterNameRule));
  }
  if (!(std::abs(adapter.scale) <= kMaxAdapterScale)) {
    return absl::InvalidArgumentError(StrCat(where, ": scale: expected a number from ", -kMaxAdapterScale,
                                             " to ", kMaxAdapterScale, ", found ", adapter.scale));
  }
  return adapter;
}

}  // namespace

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

}  // namespace guildhall
