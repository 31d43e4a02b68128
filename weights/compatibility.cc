#include "weights/compatibility.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

using Place = AdapterChanges::Place;
using Module = AdapterChanges::Module;

std::string NameOf(const Place& place) {
  const std::string what =
      place.expert < 0 ? std::string("the shared experts") : StrCat("expert ", place.expert);
  return StrCat(what, " of layer ", place.layer);
}

// As the files of most families call it.
std::string_view NameOf(WeightRole role) {
  switch (role) {
    case WeightRole::kQ:
      return "q_proj";
    case WeightRole::kK:
      return "k_proj";
    case WeightRole::kV:
      return "v_proj";
    case WeightRole::kO:
      return "o_proj";
    case WeightRole::kQA:
      return "q_a_proj";
    case WeightRole::kQB:
      return "q_b_proj";
    case WeightRole::kKvA:
      return "kv_a_proj";
    case WeightRole::kKvB:
      return "kv_b_proj";
    case WeightRole::kGate:
    case WeightRole::kExpertGate:
    case WeightRole::kSharedGate:
      return "gate_proj";
    case WeightRole::kUp:
    case WeightRole::kExpertUp:
    case WeightRole::kSharedUp:
      return "up_proj";
    case WeightRole::kDown:
    case WeightRole::kExpertDown:
    case WeightRole::kSharedDown:
      return "down_proj";
    case WeightRole::kSharedScore:
      return "the gate of the shared experts";
    default:
      return "a module";
  }
}

// The network that a module is a part of, if it is one that can be replaced.
std::optional<Place> NetworkOf(const WeightKey& key) {
  switch (key.role) {
    case WeightRole::kExpertGate:
    case WeightRole::kExpertUp:
    case WeightRole::kExpertDown:
      return Place{key.layer, key.expert};
    case WeightRole::kSharedGate:
    case WeightRole::kSharedUp:
    case WeightRole::kSharedDown:
      return Place{key.layer, -1};
    default:
      return std::nullopt;
  }
}

std::string NameOf(const WeightKey& key) {
  if (key.role == WeightRole::kHead) return "the head";
  if (key.role == WeightRole::kEmbedding) return "the embedding";
  const std::optional<Place> network = NetworkOf(key);
  return StrCat(NameOf(key.role), " of ", network ? NameOf(*network) : StrCat("layer ", key.layer));
}

std::optional<Clash> FactorClash(const ChosenAdapter& adapter) {
  const std::string named = StrCat("adapter '", adapter.name, "'");
  if (!std::isfinite(adapter.scale)) return Clash{named + ": the factor is not a finite number", "", true};
  if (adapter.scale == 1.0f) return std::nullopt;
  const std::string found = StrCat("; found ", adapter.scale);
  if (adapter.changes->dora()) {
    return Clash{named + " is DoRA, which is served with the factor 1 alone", found, true};
  }
  if (!adapter.changes->replaced.empty()) {
    return Clash{named + " replaces experts, which only has a meaning with the factor 1", found, true};
  }
  return std::nullopt;
}

Clash PairClash(const ChosenAdapter& a, const ChosenAdapter& b, const std::string& what) {
  return {StrCat("adapters '", a.name, "' and '", b.name, "' cannot be combined: ", what),
          "; use one of them, or another combination"};
}

std::optional<Clash> BothScale(const ChosenAdapter& a, const ChosenAdapter& b) {
  auto other = b.changes->modules.begin();
  for (const Module& module : a.changes->modules) {
    while (other != b.changes->modules.end() && other->key < module.key) ++other;
    if (other == b.changes->modules.end()) break;
    if (other->key != module.key || !(module.dora || other->dora)) continue;
    return PairClash(a, b, StrCat("both change ", NameOf(module.key), ", and one of them scales it (DoRA)"));
  }
  return std::nullopt;
}

std::optional<Clash> BothReplace(const ChosenAdapter& a, const ChosenAdapter& b) {
  for (const Place& place : a.changes->replaced) {
    if (!std::binary_search(b.changes->replaced.begin(), b.changes->replaced.end(), place)) continue;
    return PairClash(a, b, StrCat("both replace ", NameOf(place)));
  }
  return std::nullopt;
}

std::optional<Clash> ReplacesWhatScales(const ChosenAdapter& replacing, const ChosenAdapter& scaling) {
  const std::vector<Place>& replaced = replacing.changes->replaced;
  for (const Module& module : scaling.changes->modules) {
    const std::optional<Place> network = NetworkOf(module.key);
    if (!module.dora || !network) continue;
    if (!std::binary_search(replaced.begin(), replaced.end(), *network)) continue;
    return PairClash(replacing, scaling,
                     StrCat("the first replaces what the second scales (DoRA), ", NameOf(*network)));
  }
  return std::nullopt;
}

std::optional<Clash> OfPair(const ChosenAdapter& a, const ChosenAdapter& b) {
  if (auto clash = BothScale(a, b)) return clash;
  if (auto clash = BothReplace(a, b)) return clash;
  if (auto clash = ReplacesWhatScales(a, b)) return clash;
  return ReplacesWhatScales(b, a);
}

}  // namespace

bool AdapterChanges::dora() const {
  return std::any_of(modules.begin(), modules.end(), [](const Module& module) { return module.dora; });
}

AdapterChanges ChangesOf(const AdapterManifest& manifest) {
  AdapterChanges changes;
  for (const ReplacedFfn& ffn : manifest.replaced) changes.replaced.push_back({ffn.layer, ffn.expert});
  for (const LowRankChange& change : manifest.low_rank) changes.modules.push_back({change.key, change.dora});
  std::sort(changes.replaced.begin(), changes.replaced.end());
  std::sort(changes.modules.begin(), changes.modules.end(),
            [](const Module& a, const Module& b) { return a.key < b.key; });
  return changes;
}

std::optional<Clash> FindClash(std::span<const ChosenAdapter> adapters) {
  for (size_t i = 0; i < adapters.size(); ++i) {
    GH_CHECK(adapters[i].changes != nullptr);
    for (size_t j = 0; j < i; ++j) {
      if (adapters[j].name != adapters[i].name) continue;
      return Clash{StrCat("adapter '", adapters[i].name, "' is named twice"),
                   ": name it once, with one factor"};
    }
    if (auto clash = FactorClash(adapters[i])) return clash;
  }
  for (size_t i = 1; i < adapters.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (auto clash = OfPair(adapters[j], adapters[i])) return clash;
    }
  }
  return std::nullopt;
}

absl::Status CheckTogether(std::span<const ChosenAdapter> adapters) {
  const std::optional<Clash> clash = FindClash(adapters);
  return clash ? absl::InvalidArgumentError(clash->reason + clash->advice) : absl::OkStatus();
}

}  // namespace guildhall
