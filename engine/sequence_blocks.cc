#include "engine/sequence_blocks.h"

#include <algorithm>
#include <new>
#include <utility>

namespace guildhall {
namespace {

// A hit never covers what has to be computed anyway: the last token, and rows whose logits are wanted.
int64_t PrefixLimit(const Sequence& sequence) {
  return std::min(sequence.length() - 1, sequence.FirstOutput());
}

int32_t KnownRows(const BatchEntry& entry) {
  return std::min(entry.rows, entry.sequence->length() - entry.sequence->computed);
}

int64_t Lacking(const Sequence& sequence, int32_t rows) {
  return std::max<int64_t>(
      0, KvBlocksFor(sequence.computed + rows) - static_cast<int64_t>(sequence.blocks.size()));
}

}  // namespace

SequenceBlocks::SequenceBlocks(LanguageModel& model, const EngineOptions& options, std::function<void()> wake)
    : blocks_(model.kv_blocks(), options.prefix_cache),
      memory_(model, blocks_,
              {.budget = options.budget,
               .block_bytes = options.kv_block_bytes,
               .min_blocks = options.min_kv_blocks},
              std::move(wake)) {}

int32_t SequenceBlocks::Private(const Sequence& sequence) const {
  int32_t own = 0;
  for (const int32_t block : sequence.blocks) own += blocks_.references(block) == 1 ? 1 : 0;
  return own;
}

PrefixHit SequenceBlocks::FindPrefix(const Sequence& sequence) const {
  const KvBlocks::Hit hit = blocks_.Find(sequence.space, sequence.tokens, PrefixLimit(sequence));
  return {.blocks = hit.blocks, .unreferenced = hit.unreferenced};
}

bool SequenceBlocks::AcquirePrefix(Sequence& sequence) {
  const int64_t limit = PrefixLimit(sequence);
  bool complete = true;
  try {
    sequence.node = blocks_.Acquire(sequence.space, sequence.tokens, limit, sequence.blocks);
  } catch (const std::bad_alloc&) {
    complete = false;
  }
  sequence.registered = static_cast<int32_t>(sequence.blocks.size());
  sequence.computed = sequence.registered * kKvBlockTokens;
  return complete;
}

void SequenceBlocks::Provide(std::span<const BatchEntry> entries) {
  int64_t needed = 0;
  promised_ = 0;
  for (const BatchEntry& entry : entries) {
    if (entry.sequence->ended) continue;
    needed += Lacking(*entry.sequence, entry.rows);
    promised_ += Lacking(*entry.sequence, KnownRows(entry));
  }
  memory_.Provide(needed);
}

SequenceBlocks::Given SequenceBlocks::Allocate(BatchEntry& entry) {
  Sequence& sequence = *entry.sequence;
  promised_ = std::max<int64_t>(0, promised_ - Lacking(sequence, KnownRows(entry)));
  if (Lacking(sequence, entry.rows) > blocks_.available() - promised_) entry.rows = KnownRows(entry);
  const auto needed = static_cast<size_t>(KvBlocksFor(sequence.computed + entry.rows));
  if (Lacking(sequence, entry.rows) > blocks_.available()) {
    entry.rows = 0;
    return Given::kNotNow;
  }
  try {
    if (sequence.blocks.capacity() < needed)
      sequence.blocks.reserve(std::max(needed, 2 * sequence.blocks.size()));
  } catch (const std::bad_alloc&) {
    return Given::kNoMemory;
  }
  while (sequence.blocks.size() < needed) sequence.blocks.push_back(blocks_.Allocate());
  return Given::kRows;
}

void SequenceBlocks::Register(Sequence& sequence) {
  for (; (sequence.registered + 1) * kKvBlockTokens <= sequence.computed; ++sequence.registered) {
    const auto i = static_cast<size_t>(sequence.registered);
    sequence.node = blocks_.Register(sequence.blocks[i], sequence.node, sequence.space,
                                     std::span(sequence.tokens).subspan(i * kKvBlockTokens, kKvBlockTokens));
  }
}

// Last block first: of a cached prefix the tail is forgotten before the head, which more requests share.
void SequenceBlocks::Release(Sequence& sequence) {
  for (auto block = sequence.blocks.rbegin(); block != sequence.blocks.rend(); ++block)
    blocks_.Release(*block);
  sequence.blocks.clear();
  sequence.computed = 0;
  sequence.registered = 0;
  sequence.node = kRootNode;
}

}  // namespace guildhall
