// The functions of cuBLASLt that are in use, found at run time: nothing links the library, and the wheels
// of the toolkit do not have its header. Names, numbers and the order of fields are those of its public
// interface (cublasLt.h, library_types.h), which has kept them since cuBLAS 11.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace guildhall::cuda {

enum CublasStatus : int {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};
enum CublasComputeType : int { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum CublasDataType : int { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum CublasOperation : int { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum CublasLtMatmulAttribute : int { CUBLASLT_MATMUL_DESC_TRANSA = 3 };
enum CublasLtPreferenceAttribute : int { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1 };

using CublasLtHandle = struct CublasLtContext*;
using CublasLtMatmulDesc = struct CublasLtMatmulDescription*;
using CublasLtLayout = struct CublasLtMatrixLayout*;
using CublasLtPreference = struct CublasLtMatmulPreference*;

struct CublasLtAlgorithm {
  uint64_t data[8];
};
struct CublasLtHeuristicResult {
  CublasLtAlgorithm algorithm;
  size_t workspace_bytes;
  CublasStatus state;
  float waves;
  int reserved[4];
};

extern "C" {
size_t cublasLtGetVersion();
CublasStatus cublasLtCreate(CublasLtHandle* handle);
CublasStatus cublasLtDestroy(CublasLtHandle handle);
CublasStatus cublasLtMatmulDescCreate(CublasLtMatmulDesc* desc, CublasComputeType compute,
                                      CublasDataType scale);
CublasStatus cublasLtMatmulDescDestroy(CublasLtMatmulDesc desc);
CublasStatus cublasLtMatmulDescSetAttribute(CublasLtMatmulDesc desc, CublasLtMatmulAttribute attribute,
                                            const void* value, size_t bytes);
// Column by column, `stride` elements from one to the next.
CublasStatus cublasLtMatrixLayoutCreate(CublasLtLayout* layout, CublasDataType type, uint64_t rows,
                                        uint64_t columns, int64_t stride);
CublasStatus cublasLtMatrixLayoutDestroy(CublasLtLayout layout);
CublasStatus cublasLtMatmulPreferenceCreate(CublasLtPreference* preference);
CublasStatus cublasLtMatmulPreferenceDestroy(CublasLtPreference preference);
CublasStatus cublasLtMatmulPreferenceSetAttribute(CublasLtPreference preference,
                                                  CublasLtPreferenceAttribute attribute, const void* value,
                                                  size_t bytes);
CublasStatus cublasLtMatmulAlgoGetHeuristic(CublasLtHandle handle, CublasLtMatmulDesc desc, CublasLtLayout a,
                                            CublasLtLayout b, CublasLtLayout c, CublasLtLayout d,
                                            CublasLtPreference preference, int most,
                                            CublasLtHeuristicResult* results, int* found);
// d = alpha * op(a) op(b) + beta * c, enqueued.
CublasStatus cublasLtMatmul(CublasLtHandle handle, CublasLtMatmulDesc desc, const void* alpha, const void* a,
                            CublasLtLayout a_layout, const void* b, CublasLtLayout b_layout, const void* beta,
                            const void* c, CublasLtLayout c_layout, void* d, CublasLtLayout d_layout,
                            const CublasLtAlgorithm* algorithm, void* workspace, size_t workspace_bytes,
                            cudaStream_t stream);
}

#define GH_FOR_EACH_CUBLAS_FUNCTION(FN)                    \
  FN(version, cublasLtGetVersion)                          \
  FN(create, cublasLtCreate)                               \
  FN(destroy, cublasLtDestroy)                             \
  FN(desc_create, cublasLtMatmulDescCreate)                \
  FN(desc_destroy, cublasLtMatmulDescDestroy)              \
  FN(desc_set, cublasLtMatmulDescSetAttribute)             \
  FN(layout_create, cublasLtMatrixLayoutCreate)            \
  FN(layout_destroy, cublasLtMatrixLayoutDestroy)          \
  FN(preference_create, cublasLtMatmulPreferenceCreate)    \
  FN(preference_destroy, cublasLtMatmulPreferenceDestroy)  \
  FN(preference_set, cublasLtMatmulPreferenceSetAttribute) \
  FN(choose, cublasLtMatmulAlgoGetHeuristic)               \
  FN(matmul, cublasLtMatmul)

struct CublasLt {
#define GH_MEMBER(field, name) decltype(&name) field = nullptr;
  GH_FOR_EACH_CUBLAS_FUNCTION(GH_MEMBER)
#undef GH_MEMBER
};

// That of CUDA 13 first, then the one that a toolkit's own link names, then the one before: the functions in
// use are the same in all of them.
inline constexpr const char* kCublasLtNames[] = {"libcublasLt.so.13", "libcublasLt.so", "libcublasLt.so.12"};

// Loads the first library of those names, which then stays. FAILED_PRECONDITION names what is not there, and
// the cure.
absl::StatusOr<CublasLt> FindCublasLt(std::span<const char* const> names = kCublasLtNames);

// The refusal: `found` says what was looked for.
absl::Status NoCublasLt(std::string_view found);

}  // namespace guildhall::cuda
