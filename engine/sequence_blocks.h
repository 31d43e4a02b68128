// The KV blocks of sequences: found in the prefix cache, allocated, entered into it, given back.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "engine/kv_blocks.h"
#include "engine/kv_memory.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "model/language_model.h"

namespace guildhall {

// Keeps a sequence's `blocks`, `registered` and `node` in step with the books. Engine thread only, but for
// `wake`.
class SequenceBlocks {
 public:
  // As KvMemory.
  SequenceBlocks(LanguageModel& model, const EngineOptions& options, std::function<void()> wake);

  const KvBlocks& books() const { return blocks_; }
  KvMemory& memory() { return memory_; }

  // Blocks of the sequence that nobody else holds: what its preemption gives back.
  int32_t Private(const Sequence& sequence) const;
  // What the prefix cache has for a sequence that is not admitted.
  PrefixHit FindPrefix(const Sequence& sequence) const;
  // Takes that, sets what is computed. False: no memory for the list; the sequence has what fitted.
  bool AcquirePrefix(Sequence& sequence);

  // Asks for the memory that the entries' rows need together.
  void Provide(std::span<const BatchEntry> entries);
  enum class Given { kRows, kNotNow, kNoMemory };
  // After Provide, once for each of its entries: blocks for the entry's rows. Drafts get what the known rows
  // of all entries leave, and are given up where that is too little. kNotNow: adapters were
  // faster than the plan, there is nothing for any row; kNoMemory: for the list of blocks.
  Given Allocate(BatchEntry& entry);

  // Enters the full blocks of computed tokens into the prefix cache.
  void Register(Sequence& sequence);
  // Nothing is computed from here on.
  void Release(Sequence& sequence);

 private:
  KvBlocks blocks_;
  KvMemory memory_;
  int64_t promised_ = 0;  // blocks that known rows lack, of entries that Allocate did not see yet
};

}  // namespace guildhall
