#include "weights/slot_table.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

SlotTable::SlotTable(const std::vector<BaseExperts>& base) {
  for (const BaseExperts& layer : base) {
    tables_.push_back({layer.routed, {}});
    tables_.push_back({layer.shared, {}});
  }
}

int32_t SlotTable::Table::Take() {
  if (!holes.empty()) {
    const int32_t lowest = holes.front();
    holes.erase(holes.begin());
    return lowest;
  }
  if (holes.capacity() <= slots.size()) holes.reserve(2 * slots.size() + 1);
  slots.emplace_back();
  return static_cast<int32_t>(slots.size()) - 1;
}

void SlotTable::Table::Release(int32_t slot) {
  slots.at(static_cast<size_t>(slot)) = {};
  const auto place = std::lower_bound(holes.begin(), holes.end(), slot);
  GH_CHECK(place == holes.end() || *place != slot);
  holes.insert(place, slot);
  while (!holes.empty() && holes.back() + 1 == static_cast<int32_t>(slots.size())) {
    holes.pop_back();
    slots.pop_back();
  }
}

void SlotTable::Take(AdapterWeights& weights) {
  GH_CHECK_EQ(2 * weights.layers.size(), tables_.size());
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    LayerAdapter& adapter = weights.layers[l];
    GH_CHECK(adapter.slots.empty());
    adapter.slots.reserve(adapter.experts.size());  // or one that was taken might find no place there
    for (size_t i = 0; i < adapter.experts.size(); ++i) adapter.slots.push_back(Routed(l).Take());
    if (adapter.replaces_shared) adapter.shared_slot = Shared(l).Take();
  }
}

void SlotTable::Put(const AdapterWeights& weights) {
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const LayerAdapter& adapter = weights.layers[l];
    for (size_t i = 0; i < adapter.slots.size(); ++i) {
      Routed(l).slots.at(static_cast<size_t>(adapter.slots[i])) = adapter.replaced[i];
    }
    if (adapter.shared_slot >= 0) {
      Shared(l).slots.at(static_cast<size_t>(adapter.shared_slot)) = adapter.shared;
    }
  }
}

void SlotTable::Release(const AdapterWeights& weights) {
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    for (const int32_t slot : weights.layers[l].slots) Routed(l).Release(slot);
    if (weights.layers[l].shared_slot >= 0) Shared(l).Release(weights.layers[l].shared_slot);
  }
}

int64_t SlotTable::max_slots() const {
  size_t most = 0;
  for (const Table& table : tables_) most = std::max(most, table.slots.size());
  return static_cast<int64_t>(most);
}

std::vector<std::vector<FfnWeights>> SlotTable::Tables() const {
  std::vector<std::vector<FfnWeights>> tables;
  for (const Table& table : tables_) tables.push_back(table.slots);
  return tables;
}

}  // namespace guildhall
