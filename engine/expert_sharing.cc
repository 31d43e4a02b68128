#include "engine/expert_sharing.h"

#include <algorithm>

namespace guildhall {

void ExpertSharing::Clear() {
  for (Layer& layer : layers_) {
    std::fill(layer.used.begin(), layer.used.end(), uint8_t{0});
    layer.experts = 0;
    layer.base = false;
  }
  sets_.clear();
  answers_.clear();
  base_ = false;
}

void ExpertSharing::Add(const AdapterSet* set) {
  if (std::find(sets_.begin(), sets_.end(), set) != sets_.end()) return;
  sets_.push_back(set);
  answers_.clear();
  if (set == nullptr || set->layers.empty()) {
    base_ = true;
    return;
  }
  if (layers_.size() < set->layers.size()) layers_.resize(set->layers.size());
  for (size_t l = 0; l < set->layers.size(); ++l) {
    Layer& layer = layers_[l];
    const std::vector<int32_t>& map = set->layers[l].expert_map;
    if (map.empty()) layer.base = true;
    layer.experts = std::max(layer.experts, map.size());
    for (const int32_t slot : map) {
      if (layer.used.size() <= static_cast<size_t>(slot)) layer.used.resize(static_cast<size_t>(slot) + 1);
      layer.used[static_cast<size_t>(slot)] = 1;
    }
  }
}

// The base's slots have the numbers of its experts.
bool ExpertSharing::Reads(const Layer& layer, size_t expert, size_t slot) const {
  return ((base_ || layer.base) && slot == expert) || (slot < layer.used.size() && layer.used[slot] != 0);
}

int64_t ExpertSharing::AddedIn(const Layer& layer, const std::vector<int32_t>& map) const {
  int64_t added = 0;
  const size_t experts = map.empty() ? layer.experts : map.size();
  for (size_t e = 0; e < experts; ++e) {
    added += Reads(layer, e, map.empty() ? e : static_cast<size_t>(map[e])) ? 0 : 1;
  }
  return added;
}

int64_t ExpertSharing::Added(const AdapterSet* set) {
  if (sets_.empty() || std::find(sets_.begin(), sets_.end(), set) != sets_.end()) return 0;
  for (const auto& [known, added] : answers_) {
    if (known == set) return added;
  }
  static const std::vector<int32_t> kIdentity;
  static const Layer kUnchanged;
  const size_t of_set = set == nullptr ? 0 : set->layers.size();
  int64_t added = 0;
  for (size_t l = 0; l < std::max(layers_.size(), of_set); ++l) {
    added += AddedIn(l < layers_.size() ? layers_[l] : kUnchanged,
                     l < of_set ? set->layers[l].expert_map : kIdentity);
  }
  answers_.emplace_back(set, added);
  return added;
}

int64_t RunningSlotUse::Added(int32_t waiting) {
  if (!std::exchange(asked_, true)) {
    sharing_.Clear();
    for (const auto& sequence : running_) sharing_.Add(sequence->adapters());
    for (const int32_t admitted : admitted_) sharing_.Add(AdaptersOf(admitted));
  }
  return sharing_.Added(AdaptersOf(waiting));
}

void RunningSlotUse::Admitted(int32_t waiting) {
  if (asked_) {
    sharing_.Add(AdaptersOf(waiting));
  } else {
    admitted_.push_back(waiting);
  }
}

}  // namespace guildhall
