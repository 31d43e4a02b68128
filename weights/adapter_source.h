// Where an adapter's weights come from: what it changes, and how to read it. adapters/ implements it for
// folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

// A feed-forward network that is replaced as a whole.
struct ReplacedFfn {
  int layer = 0;
  int expert = -1;  // logical expert; -1: the layer's shared experts
  // As in the files: gate, up (width, hidden), down (hidden, width).
  DType gate = DType::kBF16, up = DType::kBF16, down = DType::kBF16;
};

// A low-rank change of one base weight, W + scale * B A. `key` names the weight in the base (kQ, kExpertGate,
// ...; the embedding and the head too). A is (rank, in), B (out, rank). The embedding's rows are looked up:
// its `in` is the vocabulary and its `out` the hidden width, the transpose of the base's tensor.
struct LowRankChange {
  WeightKey key;
  std::string module;  // the module's name in the files, for messages
  int64_t rank = 0;
  int64_t in = 0, out = 0;
  float scale = 1.0f;          // alpha / r, or alpha / sqrt(r)
  DType dtype = DType::kBF16;  // in which A and B are kept: F32 or BF16 (F16 is widened)
  bool dora = false;
};

// What goes with an adapter's weights and is none of them, handed back as it was given: whoever opened the
// adapter knows what it is.
class AdapterCompanion {
 public:
  virtual ~AdapterCompanion() = default;
};

// What an adapter is, known from its files' headers and configuration alone.
struct AdapterManifest {
  std::string kind;                     // "esft", "lora", "dora"
  std::string base_name;                // as recorded; empty: unknown
  std::vector<ReplacedFfn> replaced;    // by (layer, expert)
  std::vector<LowRankChange> low_rank;  // by key
  uint64_t file_bytes = 0;              // of its tensors
  std::vector<std::string> notes;   // what a user should know ("expert_cfg.json: derived from the tensors")
  std::vector<std::string> waived;  // keys of its configuration that only the operator's word lets pass
  std::string fingerprint;  // changes when a file was replaced or written to: names, sizes, times, inodes
  std::shared_ptr<const AdapterCompanion> companion;  // may be null
};

struct LowRankTensors {
  TensorView a;             // (rank, in)
  TensorView b;             // (out, rank); DoRA: each row multiplied by its gain
  std::vector<float> gain;  // (out); empty without DoRA
};

// Immutable; thread-safe. Each Read checks that what it reads is finite and that the files have not changed
// since they were opened: INVALID_ARGUMENT or DATA_LOSS naming the tensor. Views live in `scratch`, until it
// is used again.
class AdapterSource {
 public:
  using Scratch = std::vector<std::byte>;
  virtual ~AdapterSource() = default;

  virtual const AdapterManifest& manifest() const = 0;
  virtual absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const = 0;
  // Rows [begin, end) of it. Sources that make all of a tensor anyway need not override it.
  virtual absl::StatusOr<TensorView> ReadReplacedRows(const WeightKey& key, int64_t begin, int64_t end,
                                                      Scratch& scratch) const {
    absl::StatusOr<TensorView> whole = ReadReplaced(key, scratch);
    return whole.ok() ? absl::StatusOr<TensorView>(whole->Rows(begin, end)) : whole;
  }
  virtual absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange& change, Scratch& a,
                                                     Scratch& b) const = 0;
  // DATA_LOSS if a file was written to since it was opened; asked once more when all has been read.
  virtual absl::Status CheckUnchanged() const = 0;
};

}  // namespace guildhall
