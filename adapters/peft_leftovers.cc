#include "adapters/peft_leftovers.h"

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

// "...mlp.experts.12...." as transformers 4 names experts.
bool NamesOneExpert(std::string_view name) {
  constexpr std::string_view kExperts = ".experts.";
  for (size_t at = name.find(kExperts); at != name.npos; at = name.find(kExperts, at + 1)) {
    const size_t digit = at + kExperts.size();
    if (digit < name.size() && name[digit] >= '0' && name[digit] <= '9') return true;
  }
  return false;
}

bool NamesStack(std::string_view name) {
  return Contains(name, ".experts.lora_") || Contains(name, ".experts.base_layer.");
}

// The module in front of ".lora_..." and its like.
std::string_view ModuleOf(std::string_view name) {
  for (const std::string_view part : {".lora_", ".base_layer", ".modules_to_save", ".token_adapter"}) {
    if (const size_t at = name.find(part); at != name.npos) return name.substr(0, at);
  }
  return name.substr(0, name.rfind('.'));
}

}  // namespace

absl::StatusOr<PeftDialect> DetectDialect(const PeftConfig& config, const std::string& what,
                                          const AdapterFiles& files) {
  std::string_view one, stack;
  PeftDialect dialect;
  for (const auto& [name, tensor] : files.tensors()) {
    if (!name.starts_with(kPeftPrefix)) continue;
    const std::string_view rest = name.substr(kPeftPrefix.size());
    if (rest.starts_with("layers.") || rest.starts_with("embed_tokens.")) dialect.prefix = "";
    if (NamesOneExpert(rest)) one = name;
    if (NamesStack(rest)) stack = name;
  }
  if (!one.empty() && !stack.empty()) {
    return absl::InvalidArgumentError(StrCat("expected experts as modules or stacked, found both: tensors ",
                                             Quote(one, 200), " and ", Quote(stack, 200)));
  }
  if (!one.empty() && !config.target_parameters.empty()) {
    return absl::InvalidArgumentError(StrCat(what,
                                             ": target_parameters: expected stacked experts, found tensor ",
                                             Quote(one, 200), " of a single one"));
  }
  dialect.sure = !one.empty() || !stack.empty() || !config.target_parameters.empty();
  // Tools that record no version are of the time when experts were modules.
  const bool per_expert = !one.empty() || (!dialect.sure && config.peft_version.empty());
  dialect.experts = per_expert ? ExpertModules::kPerExpert : ExpertModules::kStacked;
  return dialect;
}

std::string UnservedReason(const ModelModule& module) {
  if (module.kind == ModelModule::Kind::kRouter) {
    return ", a router: it would change the routing, which all tasks of the base share; train without it: "
           "target_modules=\"all-linear\" takes it in; name the attention's modules there, and "
           "target_parameters=[\"experts.gate_up_proj\", \"experts.down_proj\"] for the experts; with "
           "transformers 4 "
           "exclude_modules=[\"gate\"] leaves it out";
  }
  return ", a norm: only matrices have low-rank changes; train without it";
}

std::string LeftoverReason(std::string_view name, const PeftConfig& config, const ModelModules& modules,
                           const ModelSpec& spec) {
  if (!name.starts_with(kPeftPrefix)) {
    return StrCat("a name without \"", kPeftPrefix, "\" in front, which is not what PEFT saves");
  }
  const std::string_view rest = name.substr(kPeftPrefix.size());
  if (Contains(rest, ".modules_to_save.") || Contains(rest, "modules_to_save.")) {
    return "a module of modules_to_save: trained modules are not served beside low-rank changes";
  }
  if (Contains(rest, "trainable_tokens") || Contains(rest, "token_adapter")) {
    return "trained tokens (trainable_token_indices): not served; target embed_tokens instead";
  }
  if (rest.ends_with(".lora_B.bias") || rest.ends_with(".lora_A.bias")) {
    return "a bias of the change (lora_bias): not served; train without it";
  }
  if (Contains(rest, "lora_magnitude_vector") && !config.dora) {
    return "a magnitude of DoRA, but use_dora is false: is adapter_config.json of another file?";
  }
  const std::string_view owner = ModuleOf(rest);
  const ModelModule* module = modules.Find(owner);
  if (module != nullptr && !module->served()) return StrCat(owner, UnservedReason(*module));
  if (module != nullptr && rest.ends_with(".bias")) {
    return "a trained bias (bias is not \"none\"): not served; train without it";
  }
  if (module != nullptr && Contains(rest, ".lora_")) {
    return StrCat("a change of ", owner,
                  ", which target_modules leaves out: is adapter_config.json of another file?");
  }
  if (module != nullptr) return StrCat("a part of ", owner, " that is no low-rank change");
  if (Contains(owner, ".experts")) {
    return StrCat(
        "a change of experts that neither target_modules nor target_parameters asks for, or that this model "
        "(",
        spec.family, ") does not have");
  }
  return StrCat("a module that this model (", spec.family,
                ") does not have: is the adapter of another base model?");
}

}  // namespace guildhall
