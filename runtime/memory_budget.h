// How much memory KV cache and adapters may take together, with the arithmetic in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/device_memory.h"

namespace guildhall {

// "4GiB", "1.5 GB", "500000000", "60%" or "auto". Binary and decimal units from K to T; a number alone is
// bytes.
struct MemoryAmount {
  enum class Kind { kBytes, kShare, kAuto };
  Kind kind = Kind::kAuto;
  uint64_t bytes = 0;
  double share = 0.0;  // (0, 1]
};

// INVALID_ARGUMENT, quoting the text and showing the forms.
absl::StatusOr<MemoryAmount> ParseMemoryAmount(std::string_view text);

// What may be used of it: so many bytes, a share, or with "auto" all. INVALID_ARGUMENT as ParseMemoryAmount.
absl::StatusOr<AvailableMemory> LimitMemory(AvailableMemory available, std::string_view text);

struct KvBudgetQuestion {
  std::string budget =
      "auto";  // see MemoryAmount; a share is of what the weights leave, "auto" is 80 % of that
  AvailableMemory available;  // before the weights are loaded
  uint64_t weights = 0;       // packed
  uint64_t step = 0;          // the memory of a step: activations, logits, scratch of ops
  uint64_t block_bytes = 0;   // one KV block over all layers
  int64_t context = 0;        // longest sequence of the model, tokens
  int64_t max_sequences = 0;  // that run at a time: more blocks than all of them at full length are of no use
  int64_t must_hold = 0;      // tokens of one sequence that must fit; 0: one block
};

struct KvBudget {
  uint64_t total = 0;      // bytes that KV cache and adapters share
  int64_t blocks = 0;      // the most that the KV cache can have of it
  uint64_t bytes = 0;      // of these blocks
  int64_t min_blocks = 0;  // that adapters never get: must_hold, and one whole context up to half the blocks
  std::string text;        // the arithmetic, one line
};

// Pure. RESOURCE_EXHAUSTED with the arithmetic and the cure when the weights, the budget or a single sequence
// does not fit; INVALID_ARGUMENT for a budget that cannot be read.
absl::StatusOr<KvBudget> PlanKvBudget(const KvBudgetQuestion& question);

}  // namespace guildhall
