// Whatever the text: problems, or a spec that a decoder can be planned from.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/inspect_words.h"
#include "checkpoint/tensor_files.h"

namespace guildhall {
namespace {

void CheckGate(const GateSpec& gate) {
  if (gate.experts == 0) return;
  GH_CHECK_GE(gate.k, 1);
  GH_CHECK_LE(gate.k, gate.experts);
  GH_CHECK(std::isfinite(gate.scale));
  if (gate.selection != GateSpec::Selection::kGroupLimitedTopK) return;
  GH_CHECK_EQ(gate.experts % gate.groups, 0);
  GH_CHECK_LE(gate.groups_kept, gate.groups);
  GH_CHECK_GE(gate.groups_kept * (gate.experts / gate.groups), gate.k);
}

void CheckSpec(const ModelSpec& spec) {
  GH_CHECK_GE(spec.vocabulary, 1);
  GH_CHECK_GE(spec.hidden, 1);
  GH_CHECK_GE(spec.max_positions, 1);
  GH_CHECK(!spec.layers.empty() && spec.layers.size() <= 4096);
  GH_CHECK(std::isfinite(spec.norm_eps) && spec.norm_eps > 0.0f);
  const AttentionSpec& a = spec.attention;
  GH_CHECK(std::isfinite(a.softmax_scale) && a.softmax_scale > 0.0f);
  GH_CHECK_EQ(a.rope.rotary_dim % 2, 0);
  GH_CHECK_GE(a.rope.rotary_dim, 2);
  GH_CHECK(std::isfinite(a.rope.theta) && a.rope.theta > 0.0);
  GH_CHECK(a.rope.factor > 0.0);
  if (a.kind == AttentionSpec::Kind::kGroupedQuery) GH_CHECK_EQ(a.heads % a.kv_heads, 0);
  for (const int32_t token : spec.eos_tokens) GH_CHECK(token >= 0 && token < spec.vocabulary);
  for (const LayerSpec& layer : spec.layers) {
    GH_CHECK_GE(layer.sliding_window, 0);
    GH_CHECK(layer.moe ? spec.gate.experts > 0 && spec.expert_width > 0 : spec.dense_width > 0);
  }
  CheckGate(spec.gate);
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseShardIndex(text);
  const auto json = ParseJson(text, "config.json");
  if (!json.ok()) return 0;
  (void)DumpJson(*json);
  (void)ParseGenerationConfig(*json, 1000);
  Problems problems;
  const HfConfig config = ReadHfConfig(*json, {}, problems);
  if (problems.empty()) CheckSpec(config.spec);
  (void)(RouterWords(config.spec.gate) + RopeWords(config.spec.attention.rope) + LayerWords(config.spec));
  return 0;
}
