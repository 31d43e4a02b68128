#include "adapters/esft_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// A layer's number as JSON keys write it: decimal, nothing before or after.
std::optional<int> ParseLayer(std::string_view text) {
  int layer = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (error != std::errc() || end != text.data() + text.size() || layer < 0) return std::nullopt;
  if (text.front() == '-' || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  return layer;
}

absl::Status CheckLayer(const JsonObject& experts, const std::string& key, const ModelSpec& spec) {
  const std::optional<int> layer = ParseLayer(key);
  const int64_t layers = static_cast<int64_t>(spec.layers.size());
  if (!layer || *layer >= layers) {
    return experts.Error(
        key, StrCat("expected the number of a layer from 0 to ", layers - 1, ", found ", Quote(key)));
  }
  if (!spec.layers[static_cast<size_t>(*layer)].moe) {
    return experts.Error(key, StrCat("expected a layer with experts, found layer ", *layer,
                                     ", which is dense in the base model: is the adapter of another base?"));
  }
  return absl::OkStatus();
}

absl::Status ReadLayer(const JsonObject& experts, const std::string& key, const ModelSpec& spec,
                       EsftConfig& config) {
  GH_RETURN_IF_ERROR(CheckLayer(experts, key, spec));
  const Json* list = experts.Find(key);
  if (list == nullptr || !list->is_array()) {
    return experts.Error(key, StrCat("expected a list of experts, found ",
                                     list == nullptr ? "null" : Excerpt(DumpJson(*list))));
  }
  std::set<int>& ids = config.experts[*ParseLayer(key)];
  for (const Json& item : *list) {
    const double id = item.is_number() ? item.get<double>() : -1.0;
    if (!(id >= 0 && id < spec.gate.experts) || id != std::floor(id)) {
      return experts.Error(key, StrCat("expected experts from 0 to ", spec.gate.experts - 1, ", found ",
                                       Excerpt(DumpJson(item))));
    }
    if (!ids.insert(static_cast<int>(id)).second) {
      return experts.Error(key, StrCat("expected each expert once, found ", id, " twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EsftConfig> ParseEsftConfig(const Json& json, const std::string& what, const ModelSpec& spec,
                                           const std::vector<std::string>& ignored) {
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, what));
  EsftConfig config;
  GH_ASSIGN_OR_RETURN(config.shared_experts, object.BoolOr("shared_experts", false));
  GH_ASSIGN_OR_RETURN(const bool others, object.BoolOr("non_expert_modules", false));
  if (others) {
    return absl::FailedPreconditionError(
        StrCat(what,
               ": non_expert_modules: expected false, found true: attention, norms, embeddings and router "
               "were trained too, so that nothing of the base is left to share; serve the tuned "
               "checkpoint as a base model of its own"));
  }
  GH_ASSIGN_OR_RETURN(const JsonObject experts, object.Object("experts"));
  for (const std::string& key : object.Unread()) {
    const bool waived = std::find(ignored.begin(), ignored.end(), key) != ignored.end();
    if (key.starts_with('_') || waived) object.MarkRead(key);
    if (waived && !key.starts_with('_')) config.waived.push_back(key);
  }
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  for (const auto& [key, list] : experts.json().items()) {
    GH_RETURN_IF_ERROR(ReadLayer(experts, key, spec, config));
  }
  return config;
}

}  // namespace guildhall
