#include "weights/adapter_set.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/arena.h"
#include "base/check.h"
#include "base/status.h"
#include "weights/product_numbers.h"

namespace guildhall {
namespace {

using Member = AdapterSet::Member;

// Who may stand beside whom was asked before (compatibility.h): no part has two replacements.
void AddReplaced(const LayerAdapter& part, size_t experts, LayerAdapterSet& set) {
  GH_CHECK_EQ(part.experts.size(), part.slots.size());
  if (!part.experts.empty() && set.expert_map.empty()) {
    set.expert_map.resize(experts);
    std::iota(set.expert_map.begin(), set.expert_map.end(), 0);
  }
  for (size_t i = 0; i < part.experts.size(); ++i) {
    int32_t& slot = set.expert_map.at(static_cast<size_t>(part.experts[i]));
    GH_CHECK_EQ(slot, part.experts[i]);
    slot = part.slots[i];
  }
  if (!part.replaces_shared) return;
  GH_CHECK_EQ(set.shared_slot, -1);
  set.shared_slot = part.shared_slot;
}

// The pieces of a set's device memory, of which the table is made.
struct TablePieces {
  LowRankTerms* products;  // (product numbers)
  LowRankTerm* terms;
  const int32_t** maps;  // (expert maps)
  int32_t* slots;        // of all maps, one behind the other
  size_t bytes;

  TablePieces(const AdapterSet& set, Arena arena) {
    int64_t term_count = 0, slot_count = 0;
    for (const auto& of_product : set.products) term_count += static_cast<int64_t>(of_product.size());
    for (const LayerAdapterSet& layer : set.layers) {
      slot_count += static_cast<int64_t>(layer.expert_map.size()) + (layer.shared_slot >= 0 ? 1 : 0);
    }
    products = arena.Take<LowRankTerms>(static_cast<int64_t>(set.products.size()));
    terms = arena.Take<LowRankTerm>(term_count);
    maps = arena.Take<const int32_t*>(static_cast<int64_t>(ExpertMaps(set.layers.size())));
    slots = arena.Take<int32_t>(slot_count);
    bytes = arena.bytes();
  }
};

void FillProducts(const AdapterSet& set, TablePieces& host, TablePieces& home) {
  for (const std::vector<LowRankTerm>& terms : set.products) {
    *host.products++ = {home.terms, static_cast<int64_t>(terms.size())};
    host.terms = std::copy(terms.begin(), terms.end(), host.terms);
    home.terms += terms.size();
  }
}

void FillMaps(const AdapterSet& set, TablePieces& host, TablePieces& home) {
  const auto add = [&](const int32_t* slots, size_t count) {
    *host.maps++ = count == 0 ? nullptr : home.slots;
    host.slots = std::copy_n(slots, count, host.slots);
    home.slots += count;
  };
  for (const LayerAdapterSet& layer : set.layers) {
    add(layer.expert_map.data(), layer.expert_map.size());
    add(&layer.shared_slot, layer.shared_slot >= 0 ? 1 : 0);
  }
}

}  // namespace

absl::Status MakeSetTable(AdapterSet& set, DeviceMemory& memory) {
  const size_t bytes = TablePieces(set, Arena()).bytes;
  GH_ASSIGN_OR_RETURN(set.memory, memory.Allocate(bytes, "table of an adapter set"));
  GH_ASSIGN_OR_RETURN(const HostTwin twin, memory.MakeTwin(set.memory.data(), bytes));
  TablePieces host(set, Arena(twin.data())), home(set, Arena(twin.home()));
  set.table = {home.products, home.maps};
  FillProducts(set, host, home);
  FillMaps(set, host, home);
  return memory.Upload(twin);
}

absl::StatusOr<std::shared_ptr<AdapterSet>> MakeAdapterSet(std::vector<AdapterSet::Member> members,
                                                           int experts, DeviceMemory& memory) {
  GH_CHECK(!members.empty());
  auto set = std::make_shared<AdapterSet>();
  set->members = std::move(members);
  set->layers.resize(set->members[0].weights->layers.size());
  set->products.resize(ProductNumbers(set->layers.size()));
  for (const Member& member : set->members) {
    const AdapterWeights& weights = *member.weights;
    GH_CHECK_EQ(weights.layers.size(), set->layers.size());
    for (size_t layer = 0; layer < set->layers.size(); ++layer) {
      AddReplaced(weights.layers[layer], static_cast<size_t>(experts), set->layers[layer]);
    }
    for (const auto& [product, change] : weights.descriptors.changes) {
      set->products[static_cast<size_t>(product)].push_back({change, member.scale});
    }
    set->rank_columns += weights.rank_columns;
  }
  GH_RETURN_IF_ERROR(MakeSetTable(*set, memory));
  return set;
}

}  // namespace guildhall
