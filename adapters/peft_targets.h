// Which modules and parameters an adapter's configuration asks for, and with which rank and scale.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/model_modules.h"
#include "adapters/name_pattern.h"
#include "adapters/peft_config.h"

namespace guildhall {

// A set of names: each matches the whole of a full name, or the end of it after a dot.
class NameEndings {
 public:
  explicit NameEndings(const std::vector<std::string>& names);

  // The name that matches, as an index into the list; -1: none. `exact` tells whether it is the whole name.
  int64_t Match(std::string_view full_name, bool* exact = nullptr) const;

 private:
  std::unordered_map<std::string, int64_t> index_;
};

// Which number of a name layers_to_transform means without layers_pattern: releases of PEFT differ where a
// name has several ("layers.1.mlp.experts.3.w1": 1 today, 3 before).
enum class LayerNumber { kFirst, kLast };

// The rules of PEFT for one configuration. Immutable; the configuration outlives it.
class PeftTargets {
 public:
  // The status of a regular expression that is not served, with its key's name after `what`.
  static absl::StatusOr<PeftTargets> Compile(const PeftConfig& config, const std::string& what,
                                             LayerNumber layer_number = LayerNumber::kFirst);

  LayerNumber layer_number() const { return layer_number_; }
  // Whether the configuration puts a low-rank change on this module. `listed`, if given, becomes the index of
  // the name in target_modules that says so even where another rule excludes the module; -1: none.
  bool Wants(const ModelModule& module, int64_t* listed = nullptr) const;
  // The index in target_parameters of the name that stands for this parameter; -1: none.
  int64_t WantsParameter(std::string_view full_name) const { return parameters_.Match(full_name); }

  // Of a module, or of a parameter that target_parameters names.
  int64_t RankOf(std::string_view full_name) const;
  float ScaleOf(std::string_view full_name) const;

 private:
  // `(.*\.)?(KEY)$`: a key of letters, digits and dots is compared, all others are run.
  struct EndPattern {
    std::string text;                    // with '.' for any character
    std::string literal;                 // true where text's dot is a dot: "\."
    std::optional<NamePattern> pattern;  // instead of both

    bool Matches(std::string_view name) const;
  };
  PeftTargets(const PeftConfig& config, LayerNumber layer_number)
      : config_(config),
        layer_number_(layer_number),
        names_(config.targets.names),
        excluded_(config.excluded.names),
        parameters_(config.target_parameters) {}

  static absl::StatusOr<EndPattern> CompileEnd(const std::string& key);
  bool Excluded(std::string_view name) const;
  bool InLayers(std::string_view name) const;

  const PeftConfig& config_;
  LayerNumber layer_number_;
  NameEndings names_, excluded_, parameters_;
  std::optional<NamePattern> pattern_, excluded_pattern_;
  std::vector<NamePattern> layers_patterns_;  // on what stands before the layer's number
  std::vector<std::pair<EndPattern, int64_t>> ranks_;
  std::vector<std::pair<EndPattern, double>> alphas_;
};

}  // namespace guildhall
