#include "checkpoint/hf_config.h"

#include <algorithm>
#include <cmath>

#include "base/str_cat.h"
#include "checkpoint/config_keys.h"
#include "checkpoint/config_reader.h"
#include "checkpoint/rope_config.h"

namespace guildhall {
namespace {

std::string FamilyNames() {
  std::string names;
  for (const Family& family : Families()) StrAppend(&names, names.empty() ? "" : ", ", family.model_type);
  return names;
}

// By model_type; by architectures where it is missing. Both must agree: LlamaForSequenceClassification is no
// model that generates.
const Family* ChooseFamily(ConfigReader& config, ModelSpec& spec) {
  const std::vector<std::string> architectures = config.Strings("architectures");
  spec.family = config.String("model_type", "");
  spec.architecture = architectures.empty() ? "" : architectures.front();
  if (spec.family.empty()) {
    for (const Family& family : Families()) {
      if (family.architecture == spec.architecture) spec.family = std::string(family.model_type);
    }
  }
  const Family* family = FindFamily(spec.family);
  if (family == nullptr) {
    config.Refuse(config.Has("model_type") || architectures.empty() ? "model_type" : "architectures",
                  StrCat("one of ", FamilyNames()), "this architecture is not served");
    return nullptr;
  }
  const bool other =
      architectures.size() > 1 || (!architectures.empty() && architectures.front() != family->architecture);
  if (other && !config.Waives("architectures")) {
    config.Refuse("architectures",
                  StrCat("[\"", family->architecture, "\"] for the model_type ", family->model_type),
                  "only models that generate text are served");
  }
  spec.architecture = std::string(family->architecture);
  return family;
}

void ReadDType(ConfigReader& config, HfConfig& result) {
  for (const std::string_view key : {"dtype", "torch_dtype"}) {
    const Json* json = config.object().Find(key);
    if (json == nullptr || !json->is_string() || result.dtype_declared) continue;
    if (const auto dtype = ParseDType(json->get<std::string>())) {
      result.spec.dtype = *dtype;
      result.dtype_declared = true;
    }
  }
}

void ReadShared(ConfigReader& config, const FamilyDefaults& defaults, HfConfig& result) {
  ModelSpec& spec = result.spec;
  constexpr int64_t kMostLayers = 4096;
  constexpr int64_t kMostHeads = 1 << 14;
  spec.vocabulary = config.Int("vocab_size", defaults.vocabulary);
  spec.hidden = config.Int("hidden_size", defaults.hidden);
  spec.layers.resize(static_cast<size_t>(config.Int("num_hidden_layers", defaults.layers, 1, kMostLayers)));
  spec.attention.heads = static_cast<int>(config.Int("num_attention_heads", defaults.heads, 1, kMostHeads));
  spec.max_positions = config.Int("max_position_embeddings", defaults.max_positions, 1, 1 << 30);
  spec.norm_eps = static_cast<float>(config.PositiveNumber("rms_norm_eps", defaults.norm_eps));
  spec.tied_embeddings = config.Bool("tie_word_embeddings", false);
  const std::string activation = config.String("hidden_act", "silu");
  if (activation != "silu" && activation != "swish" && !config.Waives("hidden_act"))
    config.Refuse("hidden_act", "silu", "no other activation is served");
  ReadDType(config, result);
  spec.eos_tokens =
      ReadTokenIds(config.object(), "eos_token_id", spec.vocabulary, config.problems(), result.notes);
  const auto bos =
      ReadTokenIds(config.object(), "bos_token_id", spec.vocabulary, config.problems(), result.notes);
  spec.bos_token = bos.empty() ? -1 : bos.front();
}

// What follows from the layers, once they are known.
void Settle(ModelSpec& spec) {
  const bool any_moe =
      std::any_of(spec.layers.begin(), spec.layers.end(), [](auto& layer) { return layer.moe; });
  const bool any_dense =
      std::any_of(spec.layers.begin(), spec.layers.end(), [](auto& layer) { return !layer.moe; });
  if (!any_dense) spec.dense_width = 0;
  if (any_moe) return;
  spec.gate = {};
  spec.expert_width = spec.shared_width = 0;
  spec.shared_gate = false;
}

void SetSoftmaxScale(AttentionSpec& attention, double factor) {
  const int width = attention.kind == AttentionSpec::Kind::kLatent
                        ? attention.qk_nope_dim + attention.qk_rope_dim
                        : attention.head_dim;
  attention.softmax_scale = static_cast<float>(factor / std::sqrt(static_cast<double>(width)));
}

}  // namespace

std::vector<int32_t> ReadTokenIds(const JsonObject& object, std::string_view key, int64_t vocabulary,
                                  Problems& problems, std::vector<std::string>& notes) {
  std::vector<int32_t> ids;
  const Json* json = object.Find(key);
  if (json == nullptr) return ids;
  for (const Json& item : json->is_array() ? *json : Json::array({*json})) {
    if (!item.is_number_integer()) {
      problems.Add(object.Error(
          key, StrCat("expected a token id or a list of them, found ", Quote(DumpJson(*json), 60))));
      return {};
    }
    // Text that was parsed holds unsigned numbers; a tree that was built may hold signed ones.
    const bool negative = !item.is_number_unsigned() && item.get<int64_t>() < 0;
    const bool fits = !negative && item.get<uint64_t>() < static_cast<uint64_t>(vocabulary);
    if (fits) {
      ids.push_back(item.get<int32_t>());
    } else {
      notes.push_back(StrCat(object.Where(key), ": ", DumpJson(item), " is outside the vocabulary of ",
                             vocabulary, " and cannot be generated: ignored"));
    }
  }
  return ids;
}

namespace {

HfConfig Read(const Json& json, const CheckpointOptions& options, Problems& problems) {
  HfConfig result;
  const auto object = JsonObject::From(json, "config.json");
  if (!object.ok()) {
    problems.Add(object.status());
    return result;
  }
  ConfigReader config(*object, problems, options.ignore_config_keys);
  ModelSpec& spec = result.spec;
  result.family = ChooseFamily(config, spec);
  if (result.family == nullptr) {
    // An unknown family's keys mean what it likes: read what
    // inspection can show, report nothing more about it.
    Problems unreported;
    ConfigReader shown(*object, unreported);
    ReadShared(shown, FamilyDefaults{1, 1, 1, 1, 1, 1e-6}, result);
    shown.MustBeAbsent("quantization_config");
    return result;
  }
  const Family& family = *result.family;
  ReadShared(config, family.defaults, result);
  family.read(config, spec);
  const RopeSpec rope_shape = spec.attention.rope;
  const RopeConfig rope = ReadRope(config, {.default_theta = family.defaults.rope_theta,
                                            .rotary_dim = rope_shape.rotary_dim,
                                            .interleaved = rope_shape.interleaved,
                                            .max_positions = spec.max_positions});
  const bool latent = spec.attention.kind == AttentionSpec::Kind::kLatent;
  spec.attention.rope = rope.spec;
  spec.max_positions = options.max_positions > 0 ? options.max_positions : rope.max_positions;
  SetSoftmaxScale(spec.attention, latent ? rope.softmax_factor : 1.0);
  if (family.names.extra_layers) {
    result.extra_layers = static_cast<int>(
        config.Int(config.EitherName("num_nextn_predict_layers", "num_mtp_layers"), 1, 0, 64));
  }
  // Each number was sane alone; their product may still leave the range of a float.
  if (!std::isfinite(spec.attention.softmax_scale) || !(spec.attention.softmax_scale > 0.0f) ||
      !std::isfinite(static_cast<float>(rope.spec.attention_factor))) {
    problems.Add(
        "config.json: rope: expected scales of attention in the range of a float, found none: correct "
        "factor, "
        "mscale and mscale_all_dim");
  }
  CheckRemainingKeys(config, spec);
  Settle(spec);
  return result;
}

// "rope_scaling.foo" of nested objects.
bool IsThere(const Json& json, std::string_view path) {
  const Json* at = &json;
  while (at->is_object()) {
    const size_t dot = path.find('.');
    const auto found = at->find(std::string(path.substr(0, dot)));
    if (found == at->end()) return false;
    if (dot == std::string_view::npos) return true;
    at = &*found;
    path.remove_prefix(dot + 1);
  }
  return false;
}

// A waiver that waives nothing is a typing error, or of another model's folder.
void NoteIdleWaivers(const Json& json, const CheckpointOptions& options, HfConfig& result) {
  Problems with;
  Read(json, options, with);
  for (const std::string& key : options.ignore_config_keys) {
    if (!IsThere(json, key)) {
      result.notes.push_back(StrCat("ignore_config_keys: ", Quote(key), ": config.json has no such key"));
      continue;
    }
    CheckpointOptions others = options;
    std::erase(others.ignore_config_keys, key);
    Problems without;
    Read(json, others, without);
    if (without.list().size() > with.list().size()) continue;
    result.notes.push_back(
        StrCat("ignore_config_keys: ", Quote(key), ": config.json is read in the same way without it"));
  }
}

}  // namespace

HfConfig ReadHfConfig(const Json& json, const CheckpointOptions& options, Problems& problems) {
  HfConfig result = Read(json, options, problems);
  if (result.family != nullptr) NoteIdleWaivers(json, options, result);
  return result;
}

}  // namespace guildhall
