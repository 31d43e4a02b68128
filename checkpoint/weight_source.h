// Where the base weights come from: a checkpoint's files, or a generator for benchmarks of a shape.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

// Thread-safe: loaders read from several threads.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual bool Has(const WeightKey& key) const = 0;
  // The dtype without reading. CHECK: Has(key).
  virtual DType dtype(const WeightKey& key) const = 0;
  // The tensor, in `scratch` or in memory that the source owns: valid until `scratch` is used again.
  // DATA_LOSS naming the tensor when its file has changed since it was opened. CHECK: Has(key).
  virtual absl::StatusOr<TensorView> Read(const WeightKey& key, std::vector<std::byte>& scratch) const = 0;
  // Rows [begin, end) of it. Sources that make all of a tensor anyway need not override it.
  virtual absl::StatusOr<TensorView> ReadRows(const WeightKey& key, int64_t begin, int64_t end,
                                              std::vector<std::byte>& scratch) const {
    absl::StatusOr<TensorView> whole = Read(key, scratch);
    return whole.ok() ? absl::StatusOr<TensorView>(whole->Rows(begin, end)) : whole;
  }
  // Of all weights, for progress.
  virtual size_t TotalBytes() const = 0;
};

}  // namespace guildhall
