#include "adapters/esft_binder.h"

#include <charconv>
#include <set>

#include "base/json.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// The number at the front of `text`, which is moved behind it and the dot that follows.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.' || number < 0)
    return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return number;
}

// "layers.3.": the layer, with `text` moved behind it.
std::optional<int> TakeLayer(std::string_view& text) {
  constexpr std::string_view kLayers = "layers.";
  if (!text.starts_with(kLayers)) return std::nullopt;
  text.remove_prefix(kLayers.size());
  return TakeNumber(text);
}

bool IsOfFfn(WeightRole role) {
  return role == WeightRole::kExpertGate || role == WeightRole::kExpertUp ||
         role == WeightRole::kExpertDown || role == WeightRole::kSharedGate ||
         role == WeightRole::kSharedUp || role == WeightRole::kSharedDown;
}

}  // namespace

EsftTensors EsftBinder::Run() {
  for (const auto& [name, tensor] : files_.tensors()) {
    if (Full()) break;
    Bind(name, tensor);
  }
  if (problems_.empty()) CheckComplete();
  return std::move(bound_);
}

void EsftBinder::CheckConfig(const EsftConfig& config, const std::string& what) {
  const auto ids = [](const EsftConfig& of, int layer) {
    const auto at = of.experts.find(layer);
    return at == of.experts.end() ? std::set<int>() : at->second;
  };
  for (int layer = 0; layer < static_cast<int>(spec_.layers.size()) && !Full(); ++layer) {
    const std::set<int> listed = ids(config, layer), found = ids(found_, layer);
    for (const int expert : listed) {
      if (found.contains(expert)) continue;
      problems_.Add(absl::InvalidArgumentError(
          StrCat(what, ": experts.", layer, ": expert ", expert, " is listed, found no tensor ",
                 names_.Expert(layer, expert)[0].name, ": is a file of the adapter missing?")));
    }
    for (const int expert : found) {
      if (listed.contains(expert)) continue;
      problems_.Add(
          absl::InvalidArgumentError(StrCat(what, ": experts.", layer, ": expected expert ", expert,
                                            " in the list because the folder has its tensors, found "
                                            "it not listed")));
    }
  }
  if (config.shared_experts == found_.shared_experts) return;
  problems_.Add(absl::InvalidArgumentError(StrCat(
      what, ": shared_experts: expected ", found_.shared_experts, " because the folder has ",
      found_.shared_experts ? "tensors" : "no tensor", " of shared experts, found ", config.shared_experts)));
}

void EsftBinder::Bind(std::string_view name, const AdapterTensor& tensor) {
  std::string_view rest = name;
  if (rest.starts_with("model.")) rest.remove_prefix(6);
  const std::optional<ExpectedTensor> expected = Expect(rest);
  if (!expected) {
    problems_.Add(StrCat("tensor ", Quote(name, 200), ": expected a weight of an expert of the base model (",
                         spec_.family, "), found ", Reason(rest)));
  } else if (tensor.entry->shape != expected->shape) {
    problems_.Add(StrCat("tensor ", Quote(name, 200), ": expected ", ShapeText(expected->shape), ", found ",
                         ShapeText(tensor.entry->shape), ": the adapter is of another base model"));
  } else if (!bound_.emplace(expected->key, &tensor).second) {
    problems_.Add(
        absl::InvalidArgumentError(StrCat("tensor ", Quote(name, 200),
                                          ": expected one tensor for this weight, found a second one: with "
                                          "and without \"model.\" in front of its name")));
  }
}

std::optional<ExpectedTensor> EsftBinder::Expect(std::string_view name) const {
  std::string_view rest = name;
  const std::optional<int> layer = TakeLayer(rest);
  if (!layer || *layer >= static_cast<int>(spec_.layers.size())) return std::nullopt;
  if (!spec_.layers[static_cast<size_t>(*layer)].moe) return std::nullopt;
  const std::string experts = StrCat(moe_, ".experts.");
  if (!rest.starts_with(experts)) return ExpectShared(*layer, name);
  rest.remove_prefix(experts.size());
  const std::optional<int> expert = TakeNumber(rest);
  if (!expert || *expert >= spec_.gate.experts) return std::nullopt;
  for (const ExpectedTensor& tensor : names_.Expert(*layer, *expert)) {
    if (tensor.name == name) return tensor;
  }
  return std::nullopt;
}

std::optional<ExpectedTensor> EsftBinder::ExpectShared(int layer, std::string_view name) const {
  for (const ExpectedTensor& tensor : names_.Layer(layer)) {
    if (IsOfFfn(tensor.key.role) && tensor.name == name) return tensor;
  }
  return std::nullopt;
}

bool EsftBinder::IsOutsideExperts(std::string_view name, int layer) const {
  for (const ExpectedTensor& tensor : {names_.Embedding(), names_.Head(), names_.FinalNorm()}) {
    if (tensor.name == name) return true;
  }
  if (layer < 0) return false;
  for (const ExpectedTensor& tensor : names_.Layer(layer)) {
    if (!IsOfFfn(tensor.key.role) && (tensor.name == name || tensor.other_name == name)) return true;
  }
  return false;
}

std::string EsftBinder::Reason(std::string_view name) const {
  constexpr std::string_view kNoName = "a name that this model does not have";
  if (name.find(".lora_") != name.npos)
    return "a LoRA tensor: adapter_config.json is missing from the folder";
  std::string_view rest = name;
  const std::optional<int> layer = TakeLayer(rest);
  const int layers = static_cast<int>(spec_.layers.size());
  if (layer && *layer >= layers) return StrCat("a layer that the base does not have (0 to ", layers - 1, ")");
  if (IsOutsideExperts(name, layer.value_or(-1))) {
    return "a weight outside the experts: ESFT leaves all but experts alone; serve the tuned checkpoint as a "
           "base model of its own";
  }
  if (!layer) return std::string(kNoName);
  const std::string experts = StrCat(moe_, ".experts.");
  if (!rest.starts_with(experts)) return std::string(kNoName);
  if (!spec_.layers[static_cast<size_t>(*layer)].moe)
    return StrCat("layer ", *layer, ", which is dense in the base model");
  rest.remove_prefix(experts.size());
  const std::optional<int> expert = TakeNumber(rest);
  if (expert && *expert >= spec_.gate.experts)
    return StrCat("expert ", *expert, " (the base has 0 to ", spec_.gate.experts - 1, ")");
  return std::string(kNoName);
}

void EsftBinder::CheckComplete() {
  std::map<std::pair<int, int>, int> parts;  // (layer, expert or -1) -> tensors
  for (const auto& [key, tensor] : bound_) ++parts[{key.layer, key.expert}];
  for (const auto& [place, count] : parts) {
    const auto [layer, expert] = place;
    if (expert >= 0) {
      found_.experts[layer].insert(expert);
      if (count < 3) CheckParts(names_.Expert(layer, expert));
    } else {
      found_.shared_experts = true;
      ++shared_layers_;
      if (count < 3) CheckParts(names_.Layer(layer));
    }
  }
}

template <typename List>
void EsftBinder::CheckParts(const List& parts) {
  for (const ExpectedTensor& part : parts) {
    if (!IsOfFfn(part.key.role) || bound_.contains(part.key) || Full()) continue;
    problems_.Add(
        absl::InvalidArgumentError(StrCat("tensor ", part.name, ": expected ", ShapeText(part.shape),
                                          ", found no such tensor: an expert is replaced as a whole")));
  }
}

}  // namespace guildhall
