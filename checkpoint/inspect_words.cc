#include "checkpoint/inspect_words.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/str_cat.h"

namespace guildhall {
namespace {

std::string Decimal(double value, int digits) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

}  // namespace

std::string RouterWords(const GateSpec& gate) {
  if (gate.experts == 0) return "none";
  const bool sigmoid = gate.activation == GateSpec::Activation::kSigmoid;
  std::string words = StrCat(sigmoid ? "sigmoid" : "softmax", " over ", gate.experts, " experts");
  if (gate.selection_bias) StrAppend(&words, ", a bias for the selection only");
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) {
    StrAppend(
        &words, ", inside the best ", gate.groups_kept, " of ", gate.groups, " groups (by ",
        gate.group_score == GateSpec::GroupScore::kMax ? "their best expert" : "the sum of their two best",
        ")");
  }
  StrAppend(&words, ", top ", gate.k,
            gate.normalize ? ", weights divided by their sum" : ", weights as they are");
  if (gate.scale != 1.0f) StrAppend(&words, ", times ", gate.scale);
  return words;
}

std::string RopeWords(const RopeSpec& rope) {
  std::string words = StrCat("theta ", rope.theta, ", ", rope.rotary_dim, " wide",
                             rope.interleaved ? ", neighbours paired" : ", halves paired");
  switch (rope.kind) {
    case RopeSpec::Kind::kDefault:
      return words;
    case RopeSpec::Kind::kLinear:
      return StrCat(words, ", linear: factor ", rope.factor);
    case RopeSpec::Kind::kDynamicNtk:
      StrAppend(&words, ", dynamic: factor ", rope.factor);
      break;
    case RopeSpec::Kind::kYarn:
      StrAppend(&words, ", yarn: factor ", rope.factor);
      break;
    case RopeSpec::Kind::kLlama3:
      StrAppend(&words, ", llama3: factor ", rope.factor);
      break;
  }
  return StrCat(words, " over ", rope.original_max_positions, " positions");
}

std::string AttentionWords(const AttentionSpec& attention) {
  if (attention.kind == AttentionSpec::Kind::kLatent) {
    std::string words =
        StrCat("latent: ", attention.heads, " heads of ", attention.qk_nope_dim, " + ", attention.qk_rope_dim,
               " rotary, values of ", attention.v_head_dim, ", KV rank ", attention.kv_lora_rank);
    if (attention.q_lora_rank > 0) StrAppend(&words, ", query rank ", attention.q_lora_rank);
    return words;
  }
  std::string words = StrCat("grouped-query: ", attention.heads, " heads on ", attention.kv_heads,
                             " KV heads of ", attention.head_dim);
  if (attention.qk_norm == AttentionSpec::QkNorm::kPerHead) StrAppend(&words, ", q and k normed per head");
  if (attention.qk_norm == AttentionSpec::QkNorm::kFullWidth)
    StrAppend(&words, ", q and k normed over all heads");
  if (attention.clip_qkv > 0.0f) StrAppend(&words, ", q, k and v clipped at ", attention.clip_qkv);
  return words;
}

std::string LayerWords(const ModelSpec& spec) {
  const auto count = [&](auto&& of) { return std::count_if(spec.layers.begin(), spec.layers.end(), of); };
  const auto moe = count([](const LayerSpec& layer) { return layer.moe; });
  const auto windowed = count([](const LayerSpec& layer) { return layer.sliding_window > 0; });
  const auto total = static_cast<int64_t>(spec.layers.size());
  std::string words = StrCat(total, total == 1 ? " layer: " : " layers: ");
  if (moe < total) StrAppend(&words, total - moe, " dense", moe > 0 ? ", " : "");
  if (moe > 0) StrAppend(&words, moe, " MoE");
  if (windowed > 0) StrAppend(&words, "; ", windowed, " with a sliding window");
  return words;
}

std::string CountWords(int64_t count) {
  if (count >= 1'000'000'000) return StrCat(Decimal(static_cast<double>(count) / 1e9, 2), " billion");
  if (count >= 1'000'000) return StrCat(Decimal(static_cast<double>(count) / 1e6, 2), " million");
  return StrCat(count);
}

}  // namespace guildhall
