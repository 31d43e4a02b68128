// One product of row-major matrices by cuBLASLt.
#pragma once

#include <cuda_runtime.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/cublas_lt.h"

namespace guildhall::cuda {

// Of one device and thread, which made it the current one.
class CublasProduct {
 public:
  enum class Operands { kFloats, kTf32, kBF16 };  // kTf32: floats, of which 11 bits are multiplied
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  // FAILED_PRECONDITION where the library is not there.
  static absl::StatusOr<std::unique_ptr<CublasProduct>> Make();

  // "cuBLASLt 13.0.2".
  std::string Describe() const;

  // All places are multiples of 256.
  struct Job {
    Operands operands;
    const void* w;  // (outputs, k)
    const void* x;  // (rows, k)
    float* y;       // (rows, outputs)
    int64_t outputs, rows, k;
    void* workspace;  // kWorkspaceBytes
  };
  // Enqueues y = x w^T.
  absl::Status Multiply(const Job& job, cudaStream_t stream);

 private:
  struct Shape {
    Operands operands;
    int64_t outputs, rows, k;
    auto operator<=>(const Shape&) const = default;
  };
  template <typename Handle>
  using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, CublasStatus (*)(Handle)>;
  // How products of a shape are computed.
  struct Plan {
    Owner<CublasLtMatmulDesc> desc;
    Owner<CublasLtLayout> w, x, y;
    CublasLtAlgorithm algorithm;
  };

  CublasProduct(const CublasLt& functions, CublasLtHandle handle)
      : cublas_(functions), handle_(handle, functions.destroy) {}

  absl::StatusOr<Owner<CublasLtLayout>> MakeLayout(CublasDataType type, int64_t rows, int64_t columns) const;
  absl::StatusOr<Plan> MakePlan(const Shape& shape) const;
  absl::StatusOr<const Plan*> FindPlan(const Shape& shape);

  const CublasLt cublas_;
  const Owner<CublasLtHandle> handle_;
  std::map<Shape, Plan> plans_;
};

}  // namespace guildhall::cuda
