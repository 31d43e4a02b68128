// Which expert slots the sequences of a step read together, and how many more another one would add.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "weights/adapter_set.h"

namespace guildhall {

// Counts logical experts, over all layers, whose weights differ: the base and low-rank adapters read the
// base's, an ESFT adapter its own where it replaces some. Where nobody reads yet, nothing is said. Engine
// thread only.
class ExpertSharing {
 public:
  void Clear();
  void Add(const AdapterSet* set);  // of a sequence that runs; null: the base

  // Slots of `set` that none of those added reads; 0 where none was added.
  int64_t Added(const AdapterSet* set);

 private:
  struct Layer {
    std::vector<uint8_t> used;  // by slot, as far as maps have it
    size_t experts = 0;         // 0: nobody has a map of this layer
    bool base = false;          // somebody reads all of the base's
  };

  bool Reads(const Layer& layer, size_t expert, size_t slot) const;
  int64_t AddedIn(const Layer& layer, const std::vector<int32_t>& map) const;

  std::vector<Layer> layers_;
  std::vector<const AdapterSet*> sets_;                         // added ones
  std::vector<std::pair<const AdapterSet*, int64_t>> answers_;  // since the last Add
  bool base_ = false;                                           // the base, or a set that changes no expert
};

// Answers the scheduler, of one step. Looks at what runs only when it is asked: that is a pass over the
// experts of each set.
class RunningSlotUse final : public SlotUse {
 public:
  using Sequences = std::vector<std::unique_ptr<Sequence>>;
  // All outlive it.
  RunningSlotUse(ExpertSharing& sharing, const Sequences& running, const Sequences& waiting)
      : sharing_(sharing), running_(running), waiting_(waiting) {}

  int64_t Added(int32_t waiting) override;
  void Admitted(int32_t waiting) override;

 private:
  const AdapterSet* AdaptersOf(int32_t waiting) const {
    return waiting_[static_cast<size_t>(waiting)]->adapters();
  }

  ExpertSharing& sharing_;
  const Sequences& running_;
  const Sequences& waiting_;
  std::vector<int32_t> admitted_;  // before the first question
  bool asked_ = false;
};

}  // namespace guildhall
