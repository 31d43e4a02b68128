// In which formats the base's matrices are kept.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/weight_format.h"

namespace guildhall {

// By kind of matrix; unset: every number as the checkpoint has it. Norms, biases, routers, the embedding's
// rows and the absorbed projections of latent attention (kv_b) are never quantized.
struct WeightFormats {
  std::optional<WeightFormat> experts = {};  // routed
  std::optional<WeightFormat> shared_experts = {};
  std::optional<WeightFormat> dense = {};      // feed-forward networks of layers without experts
  std::optional<WeightFormat> attention = {};  // q, k, v, o and latent attention's q_a, q_b, kv_a
  std::optional<WeightFormat> head = {};       // the vocabulary's product

  bool operator==(const WeightFormats&) const = default;
};

// The kinds by the names that configuration, command lines and reports use.
struct WeightKind {
  std::string_view name;
  std::optional<WeightFormat> WeightFormats::*format;
};
inline constexpr std::array<WeightKind, 5> kWeightKinds{{{"experts", &WeightFormats::experts},
                                                         {"shared_experts", &WeightFormats::shared_experts},
                                                         {"dense", &WeightFormats::dense},
                                                         {"attention", &WeightFormats::attention},
                                                         {"head", &WeightFormats::head}}};

// "auto" (unset) or a format's name. INVALID_ARGUMENT names `what`, the known ones and the one found.
absl::StatusOr<std::optional<WeightFormat>> ParseFormatChoice(std::string_view what, std::string_view name);

// "int8" (every kind), or "experts=int4,attention=int8". INVALID_ARGUMENT as above.
absl::StatusOr<WeightFormats> ParseWeightFormats(std::string_view text);

// What ParseWeightFormats reads: "auto" when nothing is set, one word when all kinds are the same.
std::string WeightFormatsText(const WeightFormats& formats);

}  // namespace guildhall
