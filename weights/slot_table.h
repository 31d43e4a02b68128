// Which expert slot belongs to whom.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/matrix.h"
#include "weights/adapter_weights.h"

namespace guildhall {

// The base's networks of one layer, each table's first slots. Dense layers have none.
struct BaseExperts {
  std::vector<FfnWeights> routed;
  std::vector<FfnWeights> shared;  // one, or none
};

// Slots are taken lowest first, and a table ends with its last taken slot. Not thread-safe.
class SlotTable {
 public:
  explicit SlotTable(const std::vector<BaseExperts>& base);

  // Gives every replaced network a slot; the slots stay empty until Put.
  void Take(AdapterWeights& weights);
  void Put(const AdapterWeights& weights);
  void Release(const AdapterWeights& weights);

  // As MakeExpertTables wants them.
  std::vector<std::vector<FfnWeights>> Tables() const;
  int64_t max_slots() const;

 private:
  struct Table {
    std::vector<FfnWeights> slots;
    std::vector<int32_t> holes;  // free slots below the last taken one, ascending; has room for all slots

    int32_t Take();
    void Release(int32_t slot);
  };
  Table& Routed(size_t layer) { return tables_[2 * layer]; }
  Table& Shared(size_t layer) { return tables_[2 * layer + 1]; }

  std::vector<Table> tables_;  // by number of the expert map
};

}  // namespace guildhall
