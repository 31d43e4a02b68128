#include "adapters/stacked_experts.h"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

struct Outline {
  int64_t out = 0, in = 0;  // of one expert of the parameter
};

Outline OutlineOf(const ModelSpec& spec, bool down) {
  if (down) return {spec.hidden, spec.expert_width};
  return {2 * spec.expert_width, spec.hidden};
}

bool Fits(const ModelSpec& spec, const StackedChange& change, bool transposed) {
  const Outline outline = OutlineOf(spec, change.down);
  const int64_t columns = spec.gate.experts * change.rank;
  const int64_t in = transposed ? outline.out : outline.in, out = transposed ? outline.in : outline.out;
  return change.a->entry->shape == std::vector<int64_t>{columns, in} &&
         change.b->entry->shape == std::vector<int64_t>{out, columns};
}

// The first three numbers of "0.19.1.dev0".
std::optional<std::array<int, 3>> ParseVersion(std::string_view text) {
  std::array<int, 3> version = {};
  for (size_t i = 0; i < 3; ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version[i]);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (i == 2) break;
    if (!text.starts_with('.')) return i == 1 ? std::optional(version) : std::nullopt;
    text.remove_prefix(1);
  }
  return version;
}

// Whether the file's changes are written transposed, as releases before 0.19.1 did.
absl::StatusOr<bool> FindConvention(const ModelSpec& spec, const std::vector<StackedChange>& changes,
                                    const std::string& peft_version, const std::string& what) {
  const StackedChange* plain = nullptr;
  const StackedChange* transposed = nullptr;
  for (const StackedChange& change : changes) {
    const bool as_plain = Fits(spec, change, false), as_transposed = Fits(spec, change, true);
    if (as_plain && !as_transposed) plain = &change;
    if (as_transposed && !as_plain) transposed = &change;
  }
  if (plain != nullptr && transposed != nullptr) {
    return absl::InvalidArgumentError(
        StrCat(what, ": expected stacked experts written by one release of PEFT, found ", plain->name,
               " as (out, in) and ", transposed->name, " as (in, out)"));
  }
  if (plain != nullptr || transposed != nullptr) return transposed != nullptr;
  const auto version = ParseVersion(peft_version);
  if (version) return *version < std::array<int, 3>{0, 19, 1};
  return absl::FailedPreconditionError(StrCat(
      what, ": peft_version: expected a version such as \"0.19.1\", found ",
      peft_version.empty() ? "nothing" : Quote(peft_version), ": ", changes.front().name,
      " is as wide as it is high, so that only the version of PEFT that wrote the adapter tells rows from "
      "columns: add the key"));
}

void Split(const ModelSpec& spec, const StackedChange& change, bool transposed,
           std::vector<PlacedChange>& out) {
  const auto add = [&](WeightRole role, int expert, int64_t out_begin, int64_t rows, int64_t in) {
    PlacedChange& placed = out.emplace_back();
    placed.place = {transposed ? FactorLayout::kStackedTransposed : FactorLayout::kStacked,
                    change.a,
                    change.b,
                    nullptr,
                    spec.gate.experts,
                    expert,
                    out_begin};
    placed.change = {
        {role, change.layer, expert},          change.name,   change.rank, in, rows, change.scale,
        FactorDType(placed.place, spec.dtype), /*dora=*/false};
  };
  for (int expert = 0; expert < spec.gate.experts; ++expert) {
    if (change.down) {
      add(WeightRole::kExpertDown, expert, 0, spec.hidden, spec.expert_width);
      continue;
    }
    add(WeightRole::kExpertGate, expert, 0, spec.expert_width, spec.hidden);
    add(WeightRole::kExpertUp, expert, spec.expert_width, spec.expert_width, spec.hidden);
  }
}

}  // namespace

bool StackedShapesFit(const ModelSpec& spec, const StackedChange& change) {
  return Fits(spec, change, false) || Fits(spec, change, true);
}

std::string StackedShapesText(const ModelSpec& spec, const StackedChange& change) {
  const Outline outline = OutlineOf(spec, change.down);
  const int64_t columns = spec.gate.experts * change.rank;
  return StrCat(ShapeText({columns, outline.in}), " and ", ShapeText({outline.out, columns}));
}

absl::StatusOr<std::vector<PlacedChange>> SplitStacked(const ModelSpec& spec,
                                                       const std::vector<StackedChange>& changes,
                                                       const std::string& peft_version,
                                                       const std::string& what) {
  std::vector<PlacedChange> split;
  if (changes.empty()) return split;
  GH_ASSIGN_OR_RETURN(const bool transposed, FindConvention(spec, changes, peft_version, what));
  for (const StackedChange& change : changes) Split(spec, change, transposed, split);
  return split;
}

}  // namespace guildhall
