// How many KV blocks have memory: the KV cache's part of the byte budget that it shares with adapters.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/kv_blocks.h"
#include "model/language_model.h"
#include "weights/byte_budget.h"

namespace guildhall {

struct KvMemoryOptions {
  std::shared_ptr<ByteBudget> budget;  // null: all blocks have memory, always
  uint64_t block_bytes = 0;            // over all layers
  int64_t min_blocks = 0;              // never given back; at least one
};

// Grows `blocks` when a step needs more and shrinks it when adapters ask for memory that nobody uses. Engine
// thread only, but for `wake`.
class KvMemory {
 public:
  // Takes the least share. CHECK: the budget has it. `wake` is called on any thread when adapters want
  // memory, possibly a last time after the destructor.
  KvMemory(LanguageModel& model, KvBlocks& blocks, const KvMemoryOptions& options,
           std::function<void()> wake);
  ~KvMemory();  // gives the budget back all it has

  // At a step's start: gives back a piece of what adapters still wait for, cached prefixes with it. True if
  // it did: there may be more to give.
  bool GiveBack();

  // Blocks beyond blocks.size() that the budget would give now. Another thread may be faster.
  int64_t Obtainable() const;
  // Adapters wait for memory: what is obtainable is for sequences that run already.
  bool wanted() const { return budget_ != nullptr && budget_->wanted_of_kv() > 0; }
  // Tries to see to it that `count` blocks can be allocated: by growing before cached prefixes are given up,
  // but the other way round while adapters wait.
  void Provide(int64_t count);

 private:
  bool Grow(int64_t blocks);

  LanguageModel& model_;
  KvBlocks& blocks_;
  const std::shared_ptr<ByteBudget> budget_;
  const uint64_t block_bytes_;
  const int64_t min_blocks_;
  const int64_t chunk_, piece_;  // blocks
};

}  // namespace guildhall
