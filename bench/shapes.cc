#include "bench/shapes.h"

#include <cmath>

#include "absl/strings/str_join.h"

namespace guildhall {
namespace {

ModelSpec Common(int64_t hidden, int64_t vocabulary, int layers) {
  ModelSpec spec;
  spec.hidden = hidden;
  spec.vocabulary = vocabulary;
  spec.max_positions = 4096;
  spec.norm_eps = 1e-5f;
  spec.layers.assign(static_cast<size_t>(layers), {.moe = true});
  return spec;
}

void GroupedQuery(ModelSpec& spec, int heads, int kv_heads, int head_dim) {
  AttentionSpec& a = spec.attention;
  a.heads = heads;
  a.kv_heads = kv_heads;
  a.head_dim = a.rope.rotary_dim = head_dim;
  a.softmax_scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
}

void Experts(ModelSpec& spec, int experts, int k, int64_t width) {
  spec.gate.experts = experts;
  spec.gate.k = k;
  spec.expert_width = width;
}

ModelSpec Olmoe() {
  ModelSpec spec = Common(2048, 50304, 16);
  spec.family = "olmoe";
  GroupedQuery(spec, 16, 16, 128);
  spec.attention.qk_norm = AttentionSpec::QkNorm::kFullWidth;
  Experts(spec, 64, 8, 1024);
  return spec;
}

ModelSpec Small() {
  ModelSpec spec = Common(512, 32000, 8);
  spec.family = "olmoe";
  GroupedQuery(spec, 8, 8, 64);
  Experts(spec, 32, 4, 512);
  return spec;
}

ModelSpec DeepseekV2Lite() {
  ModelSpec spec = Common(2048, 102400, 27);
  spec.family = "deepseek_v2";
  spec.layers[0].moe = false;
  spec.dense_width = 10944;
  AttentionSpec& a = spec.attention;
  a.kind = AttentionSpec::Kind::kLatent;
  a.heads = 16;
  a.kv_lora_rank = 512;
  a.qk_nope_dim = 128;
  a.qk_rope_dim = a.rope.rotary_dim = 64;
  a.rope.interleaved = true;
  a.v_head_dim = 128;
  a.softmax_scale = 1.0f / std::sqrt(192.0f);
  Experts(spec, 64, 6, 1408);
  spec.shared_width = 2816;
  return spec;
}

ModelSpec Mixtral() {
  ModelSpec spec = Common(4096, 32000, 32);
  spec.family = "mixtral";
  GroupedQuery(spec, 32, 8, 128);
  Experts(spec, 8, 2, 14336);
  spec.gate.normalize = true;
  return spec;
}

struct Shape {
  const char* name;
  ModelSpec (*make)();
};
constexpr Shape kShapes[] = {
    {"olmoe", Olmoe}, {"small", Small}, {"deepseek-v2-lite", DeepseekV2Lite}, {"mixtral", Mixtral}};

}  // namespace

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

absl::StatusOr<ModelSpec> ShapeSpec(const std::string& name, DType dtype, int layers) {
  for (const Shape& shape : kShapes) {
    if (name != shape.name) continue;
    ModelSpec spec = shape.make();
    spec.architecture = "generated " + name;
    spec.dtype = dtype;
    if (layers > 0) spec.layers.resize(static_cast<size_t>(layers), spec.layers.back());
    return spec;
  }
  return absl::InvalidArgumentError("bench: unknown shape \"" + name + "\": expected one of " +
                                    absl::StrJoin(ShapeNames(), ", "));
}

}  // namespace guildhall
