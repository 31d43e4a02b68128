#include "adapters/peft_config.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr int64_t kMaxRank = 1 << 20;
constexpr size_t kMaxListed = 100'000;

// Keys that say how the adapter was trained or made and change nothing of what it computes.
constexpr std::string_view kHarmless[] = {
    "auto_mapping", "corda_config",  "eva_config",        "inference_mode", "loftq_config",
    "lora_dropout", "megatron_core", "qalora_group_size", "revision",       "runtime_config",
};

struct Refusal {
  std::string_view key;
  std::string_view why;
};

// Known keys that change the result in a way that is not served, unless they are null, false or empty.
constexpr Refusal kRefused[] = {
    {"alora_invocation_tokens",
     "an activated LoRA changes only what follows its tokens, which is not served"},
    {"arrow_config", "routing between LoRA adapters by Arrow is not served"},
    {"ensure_weight_tying", "one change of embedding and head together is not served: train them apart"},
    {"fan_in_fan_out", "weights that are stored transposed are not served"},
    {"kasa_config", "KaSA also changes the base weights"},
    {"layer_replication", "layers that are repeated are another base model: build and serve it as one"},
    {"lora_bias", "a bias of the low-rank change is not served: train without lora_bias"},
    {"lora_ga_config",
     "LoRA-GA changes the base weights: convert the adapter when it is saved "
     "(path_initial_model_for_weight_conversion)"},
    {"megatron_config", "Megatron's parallel layers are not served"},
    {"modules_to_save",
     "whole modules that were trained beside the low-rank changes are not served: merge them into a base "
     "model of their own, or train without them"},
    {"monteclora_config", "MonteCLoRA is not served"},
    {"trainable_token_indices", "trained rows of the embedding are not served: target embed_tokens instead"},
    {"use_bdlora", "block-diagonal LoRA is not served"},
    {"use_qalora", "QALoRA is made for a quantised base"},
    {"velora_config", "VeLoRA is not served"},
};

bool IsAbsent(const Json& json) {
  return json.is_null() || (json.is_boolean() && !json.get<bool>()) ||
         ((json.is_array() || json.is_object() || json.is_string()) && json.empty());
}

absl::Status NotServed(const JsonObject& object, std::string_view key, std::string_view expected,
                       std::string_view why) {
  return absl::FailedPreconditionError(StrCat(object.Where(key), ": expected ", expected, ", found ",
                                              Excerpt(DumpJson(object.json()[std::string(key)])), ": ", why));
}

absl::Status CheckKind(const JsonObject& object) {
  GH_ASSIGN_OR_RETURN(const std::string type, object.String("peft_type"));
  if (type != "LORA")
    return NotServed(object, "peft_type", "\"LORA\"", "other kinds of adapters are not served");
  GH_ASSIGN_OR_RETURN(const std::string task, object.StringOr("task_type", "CAUSAL_LM"));
  if (task != "CAUSAL_LM") {
    return NotServed(object, "task_type", "\"CAUSAL_LM\" or null", "only text generation is served");
  }
  GH_ASSIGN_OR_RETURN(const std::string bias, object.StringOr("bias", "none"));
  if (bias == "none") return absl::OkStatus();
  return NotServed(object, "bias", "\"none\"", "trained biases are not served: train without them");
}

absl::Status CheckInit(const JsonObject& object) {
  const Json* init = object.Find("init_lora_weights");
  if (init == nullptr || init->is_boolean()) return absl::OkStatus();
  const std::string name = init->is_string() ? init->get<std::string>() : "";
  for (const std::string_view harmless : {"gaussian", "eva", "orthogonal"}) {
    if (name == harmless) return absl::OkStatus();
  }
  return NotServed(object, "init_lora_weights", "true, false, \"gaussian\", \"eva\" or \"orthogonal\"",
                   "initialisations such as PiSSA, OLoRA, CorDA and LoftQ change the base weights: save the "
                   "adapter converted "
                   "(path_initial_model_for_weight_conversion), which writes true here");
}

absl::Status CheckRefused(const JsonObject& object) {
  for (const Refusal& refusal : kRefused) {
    const Json* value = object.Find(refusal.key);
    if (value == nullptr || IsAbsent(*value)) continue;
    return NotServed(object, refusal.key, "null, false or nothing", refusal.why);
  }
  for (const std::string_view key : kHarmless) object.MarkRead(key);
  return absl::OkStatus();
}

absl::Status CheckUnknown(const JsonObject& object, const std::vector<std::string>& ignored,
                          std::vector<std::string>& waived) {
  for (const std::string& key : object.Unread()) {
    const Json& value = object.json()[key];
    if (key.starts_with('_') || value.is_null() || (value.is_boolean() && !value.get<bool>())) continue;
    if (std::find(ignored.begin(), ignored.end(), key) != ignored.end()) {
      waived.push_back(key);
      continue;
    }
    std::string message =
        StrCat(object.Where(Excerpt(key)), ": expected no such key, or null or false, found ",
               Excerpt(DumpJson(value)), ": it may change the result, and this version does not know it");
    if (const auto near = NearestName(key, object.Known())) {
      StrAppend(&message, "; did you mean \"", *near, "\"?");
    }
    StrAppend(&message, " If it does not change the result, list it in adapters.ignore_config_keys");
    return absl::FailedPreconditionError(message);
  }
  return absl::OkStatus();
}

// A list of strings, or one string.
absl::StatusOr<std::vector<std::string>> OneOrMore(const JsonObject& object, std::string_view key) {
  const Json* json = object.Find(key);
  if (json != nullptr && json->is_string()) return std::vector<std::string>{json->get<std::string>()};
  GH_ASSIGN_OR_RETURN(std::vector<std::string> names, object.StringsOr(key, {}));
  if (names.size() > kMaxListed) {
    return object.Error(key, StrCat("at most ", kMaxListed, " names are read, found ", names.size()));
  }
  return names;
}

// Larger ones are mistakes, and might not fit into the float that the scale becomes.
absl::StatusOr<double> Alpha(const JsonObject& object, std::string_view key) {
  constexpr double kMost = 1e9;
  GH_ASSIGN_OR_RETURN(const double alpha, object.Number(key));
  if (std::abs(alpha) <= kMost) return alpha;
  return object.Error(key, StrCat("expected a number of at most ", kMost, ", found ", alpha));
}

bool IsAllLinear(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text == "all-linear";
}

absl::StatusOr<ModuleChoice> ReadChoice(const JsonObject& object, std::string_view key) {
  ModuleChoice choice;
  const Json* json = object.Find(key);
  if (json != nullptr && json->is_string()) {
    choice.pattern = json->get<std::string>();
    if (choice.pattern->empty()) choice.pattern.reset();
    if (choice.pattern && IsAllLinear(*choice.pattern)) {
      choice.all_linear = true;
      choice.pattern.reset();
    }
    return choice;
  }
  GH_ASSIGN_OR_RETURN(choice.names, OneOrMore(object, key));
  for (const std::string& name : choice.names) {
    if (name.empty()) return object.Error(key, "expected names of modules, found an empty one");
  }
  return choice;
}

absl::Status ReadTargets(const JsonObject& object, PeftConfig& config) {
  GH_ASSIGN_OR_RETURN(config.targets, ReadChoice(object, "target_modules"));
  GH_ASSIGN_OR_RETURN(config.excluded, ReadChoice(object, "exclude_modules"));
  GH_ASSIGN_OR_RETURN(config.target_parameters, OneOrMore(object, "target_parameters"));
  if (config.targets.empty() && config.target_parameters.empty()) {
    return object.Error("target_modules",
                        "expected names of modules (or target_parameters), found none: PEFT writes "
                        "here what it trained; name the modules of the adapter's tensors");
  }
  const Json* layers = object.Find("layers_to_transform");
  if (layers != nullptr && layers->is_number()) {
    GH_ASSIGN_OR_RETURN(const int64_t layer, object.Int("layers_to_transform", 0, 1 << 20));
    config.layers = {layer};
  } else if (layers != nullptr) {
    GH_ASSIGN_OR_RETURN(std::vector<int64_t> list, object.IntsOr("layers_to_transform", {}));
    if (!list.empty()) config.layers = std::move(list);
  }
  GH_ASSIGN_OR_RETURN(config.layers_patterns, OneOrMore(object, "layers_pattern"));
  std::erase(config.layers_patterns, "");
  const bool as_text = config.targets.pattern || config.targets.all_linear;
  if (!as_text || (!config.layers && config.layers_patterns.empty())) return absl::OkStatus();
  return object.Error(config.layers ? "layers_to_transform" : "layers_pattern",
                      "expected null beside a target_modules that is one string, as PEFT asks for it: name "
                      "the modules in a list");
}

absl::Status ReadPatterns(const JsonObject& object, PeftConfig& config) {
  for (const std::string key : {"rank_pattern", "alpha_pattern"}) {
    if (object.Find(key) == nullptr) continue;
    GH_ASSIGN_OR_RETURN(const JsonObject pattern, object.Object(key));
    if (pattern.json().size() > kMaxListed) {
      return object.Error(key,
                          StrCat("at most ", kMaxListed, " keys are read, found ", pattern.json().size()));
    }
    for (const auto& [module, value] : pattern.json().items()) {
      if (key == "rank_pattern") {
        GH_ASSIGN_OR_RETURN(const int64_t rank, pattern.Int(module, 1, kMaxRank));
        config.rank_pattern.emplace_back(module, rank);
      } else {
        GH_ASSIGN_OR_RETURN(const double alpha, Alpha(pattern, module));
        config.alpha_pattern.emplace_back(module, alpha);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PeftConfig> ParsePeftConfig(const Json& json, const std::string& what,
                                           const std::vector<std::string>& ignored) {
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, what));
  GH_RETURN_IF_ERROR(CheckKind(object));
  GH_RETURN_IF_ERROR(CheckRefused(object));
  GH_RETURN_IF_ERROR(CheckInit(object));
  PeftConfig config;
  GH_ASSIGN_OR_RETURN(config.base_name, object.StringOr("base_model_name_or_path", ""));
  GH_ASSIGN_OR_RETURN(config.peft_version, object.StringOr("peft_version", ""));
  GH_ASSIGN_OR_RETURN(config.rank, object.Int("r", 1, kMaxRank));
  if (object.Find("lora_alpha") != nullptr) {
    GH_ASSIGN_OR_RETURN(config.alpha, Alpha(object, "lora_alpha"));
  }
  GH_ASSIGN_OR_RETURN(config.rank_stabilised, object.BoolOr("use_rslora", false));
  GH_ASSIGN_OR_RETURN(config.dora, object.BoolOr("use_dora", false));
  GH_RETURN_IF_ERROR(ReadTargets(object, config));
  GH_RETURN_IF_ERROR(ReadPatterns(object, config));
  GH_RETURN_IF_ERROR(CheckUnknown(object, ignored, config.waived));
  return config;
}

}  // namespace guildhall
