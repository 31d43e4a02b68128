// Whatever the text: a refusal, or a configuration whose rules can be asked for any module.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/esft_config.h"
#include "adapters/model_modules.h"
#include "adapters/name_pattern.h"
#include "adapters/peft_config.h"
#include "adapters/peft_targets.h"
#include "base/check.h"

namespace guildhall {
namespace {

ModelSpec SmallSpec() {
  ModelSpec spec;
  spec.family = "mixtral";
  spec.hidden = spec.vocabulary = 8;
  spec.attention.heads = spec.attention.kv_heads = 2;
  spec.attention.head_dim = 4;
  spec.layers = {{.moe = false}, {.moe = true}};
  spec.dense_width = spec.expert_width = 4;
  spec.gate.experts = 4;
  return spec;
}

void AskAll(const PeftConfig& config, const ModelSpec& spec) {
  for (const LayerNumber number : {LayerNumber::kFirst, LayerNumber::kLast}) {
    const auto targets = PeftTargets::Compile(config, "adapter_config.json", number);
    if (!targets.ok()) return;
    for (const ExpertModules experts : {ExpertModules::kPerExpert, ExpertModules::kStacked}) {
      const ModelModules modules(spec, *FindFamily(spec.family), experts, "model.");
      for (const ModelModule& module : modules.modules()) {
        int64_t listed = -1;
        (void)targets->Wants(module, &listed);
        GH_CHECK_LT(listed, static_cast<int64_t>(config.targets.names.size()));
        GH_CHECK_LT(targets->WantsParameter(module.name),
                    static_cast<int64_t>(config.target_parameters.size()));
        GH_CHECK_GE(targets->RankOf(module.name), 1);
        GH_CHECK(std::isfinite(targets->ScaleOf(module.name)));
      }
    }
  }
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const ModelSpec spec = SmallSpec();
  if (const auto pattern = NamePattern::Compile(text.substr(0, 200)); pattern.ok()) {
    (void)pattern->Matches("model.layers.1.mlp.experts.3.w1");
  }
  const auto json = ParseJson(text, "adapter_config.json");
  if (!json.ok()) return 0;
  if (const auto esft = ParseEsftConfig(*json, "expert_cfg.json", spec); esft.ok()) {
    for (const auto& [layer, experts] : esft->experts) {
      GH_CHECK_EQ(layer, 1);
      for (const int expert : experts) GH_CHECK(expert >= 0 && expert < spec.gate.experts);
    }
  }
  if (const auto peft = ParsePeftConfig(*json, "adapter_config.json"); peft.ok()) AskAll(*peft, spec);
  return 0;
}
