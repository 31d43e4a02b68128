// A stand-in of cuBLASLt: the calls in use, each product by one chain of multiply-adds over k. It checks what
// the library would read as garbage: places, sizes, its workspace, which it uses.
#include "kernels/cuda/cublas_lt.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "base/dtype.h"
#include "tests/cuda_emulation/copy.h"
#include "tests/cuda_emulation/machine.h"

// The handles of the C names.
struct guildhall::cuda::CublasLtContext {};
struct guildhall::cuda::CublasLtMatmulDescription {
  CublasComputeType compute;
  bool transposed = false;
};
struct guildhall::cuda::CublasLtMatrixLayout {
  CublasDataType type;
  int64_t rows, columns, stride;
};
struct guildhall::cuda::CublasLtMatmulPreference {
  uint64_t workspace_bytes = 0;
};

namespace guildhall::cuda {
namespace {

using emulation::Call;
using emulation::DeviceState;
using emulation::InsideOrReport;
using emulation::Machine;

// What it says that it needs.
constexpr size_t kWorkspaceBytes = size_t{1} << 20;
constexpr size_t kAlignment = 256;

struct Product {
  const CublasLtMatmulDescription desc;
  const CublasLtMatrixLayout a, b, d;
  const void *a_place, *b_place;
  void *d_place, *workspace;
};

size_t Bytes(const CublasLtMatrixLayout& layout) {
  return static_cast<size_t>(layout.columns * layout.stride) * (layout.type == CUDA_R_32F ? 4 : 2);
}

float At(const std::byte* matrix, const CublasLtMatrixLayout& layout, int64_t row, int64_t column) {
  const int64_t index = column * layout.stride + row;
  return LoadElement(matrix, layout.type == CUDA_R_32F ? DType::kF32 : DType::kBF16, index);
}

// Of the operand of a fast product: the lowest 13 bits are not looked at.
float Tf32(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffffe000u);
}

void Execute(DeviceState& device, const Product& product) {
  const auto& [desc, a, b, d, a_place, b_place, d_place, workspace] = product;
  const std::byte* const a_at = InsideOrReport(device, a_place, Bytes(a), "cublasLtMatmul: a");
  const std::byte* const b_at = InsideOrReport(device, b_place, Bytes(b), "cublasLtMatmul: b");
  std::byte* const d_at = InsideOrReport(device, d_place, Bytes(d), "cublasLtMatmul: d");
  std::memset(InsideOrReport(device, workspace, kWorkspaceBytes, "cublasLtMatmul: its workspace"), 0xff,
              kWorkspaceBytes);
  const bool fast = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  for (int64_t column = 0; column < d.columns; ++column) {
    for (int64_t row = 0; row < d.rows; ++row) {
      float sum = 0.0f;
      for (int64_t k = 0; k < a.rows; ++k) {
        const float left = At(a_at, a, k, row), right = At(b_at, b, k, column);
        sum = fast ? std::fma(Tf32(left), Tf32(right), sum) : std::fma(left, right, sum);
      }
      std::memcpy(d_at + static_cast<size_t>(column * d.stride + row) * sizeof(sum), &sum, sizeof(sum));
    }
  }
}

bool IsAligned(const void* place) {
  return reinterpret_cast<uintptr_t>(place) % kAlignment == 0;
}

// The product's only form here: d = a^T b.
bool Fits(const CublasLtMatmulDescription& desc, const CublasLtMatrixLayout& a, const CublasLtMatrixLayout& b,
          const CublasLtMatrixLayout& d) {
  return desc.transposed && a.rows == b.rows && a.columns == d.rows && b.columns == d.columns &&
         a.type == b.type && d.type == CUDA_R_32F;
}

template <typename T>
CublasStatus Destroy(T* made) {
  delete made;
  return CUBLAS_STATUS_SUCCESS;
}

// The runtime's rules of failure hold here, too.
CublasStatus CublasCall(const char* function, const std::function<CublasStatus(Machine&)>& body) {
  CublasStatus status = CUBLAS_STATUS_EXECUTION_FAILED;
  (void)Call(function, [&](Machine& machine) {
    status = body(machine);
    return cudaSuccess;
  });
  return status;
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() {
  return 130002;
}

CublasStatus cublasLtCreate(CublasLtHandle* handle) {
  return CublasCall("cublasLtCreate", [&](Machine&) {
    *handle = new CublasLtContext;
    return CUBLAS_STATUS_SUCCESS;
  });
}
CublasStatus cublasLtDestroy(CublasLtHandle handle) {
  return Destroy(handle);
}

CublasStatus cublasLtMatmulDescCreate(CublasLtMatmulDesc* desc, CublasComputeType compute,
                                      CublasDataType scale) {
  GH_CHECK_EQ(int{scale}, int{CUDA_R_32F});
  *desc = new CublasLtMatmulDescription{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
CublasStatus cublasLtMatmulDescDestroy(CublasLtMatmulDesc desc) {
  return Destroy(desc);
}
CublasStatus cublasLtMatmulDescSetAttribute(CublasLtMatmulDesc desc, CublasLtMatmulAttribute attribute,
                                            const void* value, size_t bytes) {
  if (attribute != CUBLASLT_MATMUL_DESC_TRANSA || bytes != sizeof(int)) return CUBLAS_STATUS_INVALID_VALUE;
  desc->transposed = *static_cast<const CublasOperation*>(value) == CUBLAS_OP_T;
  return CUBLAS_STATUS_SUCCESS;
}

CublasStatus cublasLtMatrixLayoutCreate(CublasLtLayout* layout, CublasDataType type, uint64_t rows,
                                        uint64_t columns, int64_t stride) {
  if (stride < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new CublasLtMatrixLayout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), stride};
  return CUBLAS_STATUS_SUCCESS;
}
CublasStatus cublasLtMatrixLayoutDestroy(CublasLtLayout layout) {
  return Destroy(layout);
}

CublasStatus cublasLtMatmulPreferenceCreate(CublasLtPreference* preference) {
  *preference = new CublasLtMatmulPreference;
  return CUBLAS_STATUS_SUCCESS;
}
CublasStatus cublasLtMatmulPreferenceDestroy(CublasLtPreference preference) {
  return Destroy(preference);
}
CublasStatus cublasLtMatmulPreferenceSetAttribute(CublasLtPreference preference,
                                                  CublasLtPreferenceAttribute attribute, const void* value,
                                                  size_t bytes) {
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES || bytes != sizeof(uint64_t)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  preference->workspace_bytes = *static_cast<const uint64_t*>(value);
  return CUBLAS_STATUS_SUCCESS;
}

CublasStatus cublasLtMatmulAlgoGetHeuristic(CublasLtHandle, CublasLtMatmulDesc desc, CublasLtLayout a,
                                            CublasLtLayout b, CublasLtLayout c, CublasLtLayout d,
                                            CublasLtPreference preference, int most,
                                            CublasLtHeuristicResult* results, int* found) {
  return CublasCall("cublasLtMatmulAlgoGetHeuristic", [&](Machine&) {
    *found = 0;
    if (most < 1 || c != d || !Fits(*desc, *a, *b, *d)) return CUBLAS_STATUS_INVALID_VALUE;
    if (preference->workspace_bytes < kWorkspaceBytes) return CUBLAS_STATUS_NOT_SUPPORTED;
    results[0] = {.algorithm = {{kWorkspaceBytes}},
                  .workspace_bytes = kWorkspaceBytes,
                  .state = CUBLAS_STATUS_SUCCESS,
                  .waves = 1.0f,
                  .reserved = {}};
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
  });
}

CublasStatus cublasLtMatmul(CublasLtHandle, CublasLtMatmulDesc desc, const void* alpha, const void* a,
                            CublasLtLayout a_layout, const void* b, CublasLtLayout b_layout, const void* beta,
                            const void* c, CublasLtLayout c_layout, void* d, CublasLtLayout d_layout,
                            const CublasLtAlgorithm* algorithm, void* workspace, size_t workspace_bytes,
                            cudaStream_t stream) {
  return CublasCall("cublasLtMatmul", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    const bool plain = *static_cast<const float*>(alpha) == 1.0f && *static_cast<const float*>(beta) == 0.0f;
    if (device == nullptr || !plain || c != d || c_layout != d_layout ||
        !Fits(*desc, *a_layout, *b_layout, *d_layout) || algorithm->data[0] != kWorkspaceBytes ||
        workspace_bytes < kWorkspaceBytes || !IsAligned(a) || !IsAligned(b) || !IsAligned(d) ||
        !IsAligned(workspace)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    machine.Count([](emulation::Counts& counts) { ++counts.kernels["cublasLtMatmul"].launches; });
    const Product product{*desc, *a_layout, *b_layout, *d_layout, a, b, d, workspace};
    device->queues.Push(stream, {.run = [&machine, device, product] {
                          if (machine.faults.stuck() == 0) Execute(*device, product);
                        }});
    return CUBLAS_STATUS_SUCCESS;
  });
}

}  // extern "C"

absl::StatusOr<CublasLt> FindCublasLt(std::span<const char* const>) {
  if (!Machine::Get().options.cublas) return NoCublasLt("this emulated machine has none");
  return CublasLt{
#define GH_MEMBER(field, name) .field = &name,
      GH_FOR_EACH_CUBLAS_FUNCTION(GH_MEMBER)
#undef GH_MEMBER
  };
}

}  // namespace guildhall::cuda
