// Single ops on the shape of one layer with random weights, on any back end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "kernels/backend.h"

namespace guildhall {

struct OpShape {
  int64_t hidden = 2048, width = 1024, experts = 64, k = 8, out = 6144;
  std::vector<int64_t> rows{1, 4, 8, 16, 32, 64, 256, 512};
  size_t copies_bytes = size_t{256} << 20;  // of the plain product: more than the last cache keeps
};

// One op with what a call must read and compute at least.
struct OpCase {
  std::string name;
  double bytes = 0, operations = 0;
  std::function<absl::Status()> prepare;  // before each run
  std::function<void()> run;              // enqueues the op
};

// Owns the operands; the back end outlives it.
class OpCases {
 public:
  // INVALID_ARGUMENT for more choices than experts; RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<OpCases>> Make(Backend& backend, const OpShape& shape,
                                                       WeightFormat format);

  const std::vector<OpCase>& cases() const { return cases_; }

 private:
  // An array of the device, and where the host makes it.
  struct Array {
    DeviceBuffer home;
    HostTwin twin;
  };

  OpCases(Backend& backend, const OpShape& shape, WeightFormat format)
      : backend_(backend), shape_(shape), format_(format) {}

  PackShape GateUpShape() const { return PackShape::GateUp(format_, shape_.width, shape_.hidden); }
  PackShape DownShape() const { return PackShape::Stack(format_, shape_.hidden, shape_.width); }
  PackShape MatrixShape() const { return PackShape::Stack(format_, shape_.out, shape_.hidden); }

  absl::Status AllocateAll();
  absl::Status AllocateArrays(int64_t rows, int64_t max_width);
  absl::Status FillExperts();
  absl::Status FillMatrices();
  template <typename T>
  absl::StatusOr<Array> MakeArray(const std::vector<T>& values, const char* what);
  // Copies of packed bytes, one behind the other.
  absl::StatusOr<DeviceBuffer> Repeat(const Buffer& packed, int64_t copies, const char* what);
  TensorView RandomTensor(int64_t out, int64_t in);
  int64_t DrawGroups(int64_t rows);
  absl::Status UploadGroups();
  void AddExperts(int64_t rows);
  void AddMatMul(int64_t rows);

  Backend& backend_;
  const OpShape shape_;
  const WeightFormat format_;
  std::mt19937 random_{1};
  std::vector<uint16_t> source_;
  size_t gate_up_bytes_ = 0, down_bytes_ = 0, matrix_bytes_ = 0, offset_ = 0;
  DeviceBuffer experts_, matrices_;
  Array table_, x_, y_, weight_, group_begin_, group_entry_;
  std::vector<int32_t> begin_, entry_;  // the host's
  std::vector<OpCase> cases_;
};

}  // namespace guildhall
