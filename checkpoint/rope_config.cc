#include "checkpoint/rope_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::array<std::string_view, 14> kRopeKeys = {"rope_type",
                                                        "type",
                                                        "rope_theta",
                                                        "factor",
                                                        "original_max_position_embeddings",
                                                        "beta_fast",
                                                        "beta_slow",
                                                        "mscale",
                                                        "mscale_all_dim",
                                                        "attention_factor",
                                                        "truncate",
                                                        "low_freq_factor",
                                                        "high_freq_factor",
                                                        "partial_rotary_factor"};

// The magnitude of yarn: 0.1 m ln(factor) + 1 for a factor above 1.
double Magnitude(double factor, double m) {
  return factor <= 1.0 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

// {"full_attention": {...}, ...}: one set for all layers, or a problem.
const Json* Flatten(ConfigReader& config, std::string_view key, const Json& json) {
  const Json* shared = nullptr;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_object()) continue;
    if (shared != nullptr && *shared != value) {
      config.Refuse(key, "the same parameters for every layer type",
                    "rope that differs between layers is not served");
      return &json;
    }
    shared = &value;
  }
  if (shared == nullptr) return &json;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_object()) config.Refuse(key, "either one set of parameters or one per layer type");
  }
  return shared;
}

// One set of parameters with `type` renamed, for comparing both generations.
Json Normalised(const Json& json) {
  Json plain = json;
  if (plain.contains("type") && !plain.contains("rope_type")) plain["rope_type"] = plain["type"];
  plain.erase("type");
  plain.erase("rope_theta");
  for (auto at = plain.begin(); at != plain.end();) at = at->is_null() ? plain.erase(at) : std::next(at);
  return plain;
}

bool SameMembers(const Json& a, const Json& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.items().begin(), a.items().end(), [&](const auto& member) {
    return b.contains(member.key()) && b[member.key()] == member.value();
  });
}

// The object that holds the parameters, under either key; nullopt when there is none.
std::optional<JsonObject> FindParameters(ConfigReader& config) {
  std::optional<JsonObject> found;
  const Json* first = nullptr;
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    const Json* json = config.object().Find(key);
    if (json == nullptr || (json->is_object() && json->empty())) continue;
    if (!json->is_object()) {
      config.Refuse(key, "an object");
      continue;
    }
    json = Flatten(config, key, *json);
    if (first == nullptr) {
      first = json;
      found = *JsonObject::From(*json, "config.json", std::string(key));
    } else if (!SameMembers(Normalised(*first), Normalised(*json))) {
      config.Refuse(key, StrCat("what rope_parameters says (", DumpJson(*first), ")"),
                    "remove the wrong one");
    }
  }
  return found;
}

// A key that may stand inside the parameters or at the top level; both must agree.
template <typename Get>
double InsideOrTop(ConfigReader& config, ConfigReader& rope, std::string_view key, double fallback, Get get) {
  if (!rope.Has(key)) return get(config, key, fallback);
  const double inside = get(rope, key, fallback);
  if (config.Has(key) && get(config, key, fallback) != inside) {
    config.Refuse(key, StrCat("the value inside the rope parameters (", inside, ")"), "remove the wrong one");
  }
  return inside;
}

std::optional<RopeSpec::Kind> ReadKind(ConfigReader& rope) {
  const std::string_view key = rope.EitherName("rope_type", "type");
  const std::string name = rope.String(key, "default");
  if (name == "default") return RopeSpec::Kind::kDefault;
  if (name == "linear") return RopeSpec::Kind::kLinear;
  if (name == "dynamic") return RopeSpec::Kind::kDynamicNtk;
  if (name == "yarn") return RopeSpec::Kind::kYarn;
  if (name == "llama3") return RopeSpec::Kind::kLlama3;
  if (rope.Waives(key)) return RopeSpec::Kind::kDefault;
  rope.Refuse(key, "default, linear, dynamic, yarn or llama3", "this kind of rope is not served");
  return std::nullopt;
}

void ReadYarn(ConfigReader& rope, const RopeContext& context, RopeConfig& result) {
  RopeSpec& spec = result.spec;
  if (!rope.Has("factor") && rope.IsNull("factor")) {
    spec.factor =
        static_cast<double>(context.max_positions) / static_cast<double>(spec.original_max_positions);
  }
  const double mscale = rope.Number("mscale", 0.0), mscale_all_dim = rope.Number("mscale_all_dim", 0.0);
  const double resolved = mscale != 0.0 && mscale_all_dim != 0.0
                              ? Magnitude(spec.factor, mscale) / Magnitude(spec.factor, mscale_all_dim)
                              : Magnitude(spec.factor, 1.0);
  spec.attention_factor = rope.PositiveNumber("attention_factor", resolved);
  // 0 stands for the default, as null does.
  const double fast = rope.Number("beta_fast", 0.0), slow = rope.Number("beta_slow", 0.0);
  if (fast < 0.0) rope.Refuse("beta_fast", "a number from 0");
  if (slow < 0.0) rope.Refuse("beta_slow", "a number from 0");
  if (fast > 0.0) spec.beta_fast = fast;
  if (slow > 0.0) spec.beta_slow = slow;
  spec.truncate = rope.Bool("truncate", true);
  if (spec.theta <= 1.0) rope.Refuse("rope_theta", "a number above 1 for yarn");
}

void ReadLlama3(ConfigReader& rope, RopeSpec& spec) {
  for (const std::string_view key : {"low_freq_factor", "high_freq_factor"}) rope.Required(key);
  spec.low_freq_factor = rope.PositiveNumber("low_freq_factor", 1.0);
  spec.high_freq_factor = rope.PositiveNumber("high_freq_factor", 4.0);
  if (spec.high_freq_factor <= spec.low_freq_factor) {
    rope.Refuse("high_freq_factor", StrCat("a number above low_freq_factor (", spec.low_freq_factor, ")"));
  }
}

void CheckKeys(ConfigReader& rope) {
  const std::vector<std::string> known(kRopeKeys.begin(), kRopeKeys.end());
  for (const auto& [key, value] : rope.object().json().items()) {
    const bool is_known = std::find(known.begin(), known.end(), key) != known.end();
    if (value.is_null() || is_known || key.starts_with('_') || rope.Waives(key)) continue;
    std::string path = rope.object().Where(key);
    path.erase(0, path.find(": ") + 2);
    std::string text = StrCat(rope.object().Where(Quote(key)), ": unknown key");
    if (const auto near = NearestName(key, known)) StrAppend(&text, "; did you mean \"", *near, "\"?");
    rope.problems().Add(
        StrCat(text, " If it does not change the result, list ", Quote(path), " in ignore_config_keys"));
  }
}

int64_t Stretched(int64_t positions, double factor) {
  constexpr double kMost = 1 << 30;
  return static_cast<int64_t>(std::min(kMost, std::floor(static_cast<double>(positions) * factor)));
}

void ReadKindParameters(ConfigReader& config, ConfigReader& rope, const RopeContext& context,
                        RopeConfig& result) {
  RopeSpec& spec = result.spec;
  const auto number = [](ConfigReader& from, std::string_view key, double fallback) {
    return from.PositiveNumber(key, fallback);
  };
  if (spec.kind == RopeSpec::Kind::kDefault) {
    const bool waived = rope.Waives("factor") || rope.Waives("rope_type") || rope.Waives("type");
    if (rope.Has("factor") && rope.Number("factor", 1.0) != 1.0 && !waived) {
      rope.Refuse("factor", "no factor without a rope_type that uses it",
                  "state rope_type, or remove factor");
    }
    return;
  }
  if (spec.kind != RopeSpec::Kind::kYarn || !rope.IsNull("factor")) rope.Required("factor");
  spec.factor = rope.PositiveNumber("factor", 1.0);
  if (spec.kind == RopeSpec::Kind::kDynamicNtk) {
    spec.original_max_positions = context.max_positions;
    result.max_positions = std::max(context.max_positions, Stretched(context.max_positions, spec.factor));
    if (context.rotary_dim <= 2)
      rope.Refuse("rope_type", "heads of more than 2 elements for dynamic scaling");
  }
  if (spec.kind == RopeSpec::Kind::kYarn || spec.kind == RopeSpec::Kind::kLlama3) {
    spec.original_max_positions =
        static_cast<int64_t>(InsideOrTop(config, rope, "original_max_position_embeddings",
                                         static_cast<double>(context.max_positions), number));
    spec.original_max_positions = std::max<int64_t>(1, spec.original_max_positions);
  }
  if (spec.kind == RopeSpec::Kind::kYarn) {
    ReadYarn(rope, context, result);
    result.max_positions =
        std::max(context.max_positions, Stretched(spec.original_max_positions, spec.factor));
  }
  if (spec.kind == RopeSpec::Kind::kLlama3) ReadLlama3(rope, spec);
  const double mscale_all_dim = rope.Number("mscale_all_dim", 0.0);
  if (mscale_all_dim != 0.0) result.softmax_factor = std::pow(Magnitude(spec.factor, mscale_all_dim), 2.0);
}

}  // namespace

RopeConfig ReadRope(ConfigReader& config, const RopeContext& context) {
  RopeConfig result;
  result.max_positions = context.max_positions;
  result.spec.rotary_dim = context.rotary_dim;
  result.spec.interleaved = context.interleaved;
  config.object().MarkRead("original_max_position_embeddings");

  static const Json kEmpty = Json::object();
  const JsonObject parameters =
      FindParameters(config).value_or(*JsonObject::From(kEmpty, "config.json", "rope_parameters"));
  ConfigReader rope(parameters, config.problems(), config.ignored());
  CheckKeys(rope);
  const auto number = [](ConfigReader& from, std::string_view key, double fallback) {
    return from.PositiveNumber(key, fallback);
  };
  result.spec.theta = InsideOrTop(config, rope, "rope_theta", context.default_theta, number);
  for (ConfigReader* reader : {&config, &rope}) {
    const bool waived = reader->Waives("partial_rotary_factor");
    if (reader->Number("partial_rotary_factor", 1.0) != 1.0 && !waived) {
      reader->Refuse("partial_rotary_factor", "1", "no family that is served rotates a part of its heads");
    }
  }
  if (context.rotary_dim % 2 != 0) {
    config.problems().Add(
        StrCat("config.json: rope needs heads of an even width, found ", context.rotary_dim));
  }
  const auto kind = ReadKind(rope);
  if (!kind) return result;
  result.spec.kind = *kind;
  ReadKindParameters(config, rope, context, result);
  return result;
}

}  // namespace guildhall
