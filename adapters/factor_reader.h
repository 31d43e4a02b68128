// Reads the two factors of a low-rank change out of a PEFT
// file, whatever its layout, as the server keeps them.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/adapter_files.h"
#include "adapters/low_rank_place.h"
#include "checkpoint/weight_source.h"
#include "weights/adapter_source.h"

namespace guildhall {

// Thread-safe. Keeps the last few stacked tensors in memory:
// every expert's factors are strewn over the whole of one.
class FactorReader {
 public:
  FactorReader(const AdapterFiles& files, const WeightSource& base) : files_(files), base_(base) {}

  // As AdapterSource::ReadLowRank.
  absl::StatusOr<LowRankTensors> Read(const LowRankChange& change, const LowRankPlace& place,
                                      std::vector<std::byte>& a, std::vector<std::byte>& b) const;

 private:
  struct Whole {
    const AdapterTensor* tensor = nullptr;
    std::vector<std::byte> bytes;
    TensorView view;
  };

  absl::StatusOr<LowRankTensors> ReadStacked(const LowRankChange& change, const LowRankPlace& place,
                                             std::vector<std::byte>& a, std::vector<std::byte>& b) const;
  // The gains, and b's rows multiplied by them.
  absl::Status ApplyDora(const LowRankChange& change, const LowRankPlace& place, LowRankTensors& tensors,
                         std::vector<std::byte>& b) const;
  absl::StatusOr<std::shared_ptr<const Whole>> Stack(const AdapterTensor& tensor) const;

  const AdapterFiles& files_;
  const WeightSource& base_;
  mutable std::mutex mutex_;
  mutable std::array<std::shared_ptr<const Whole>, 4> stacks_;  // guarded by mutex_; round robin
  mutable size_t next_ = 0;                                     // guarded by mutex_
};

}  // namespace guildhall
