#include "kernels/cuda/cublas_product.h"

#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall::cuda {
namespace {

// Groups of experts come in any size: what was found out about them is not kept without end.
constexpr size_t kMostPlans = 1024;

absl::Status StatusOf(CublasStatus status, std::string_view doing) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string text = StrCat("cuBLASLt: ", doing, ": status ", static_cast<int>(status));
  return status == CUBLAS_STATUS_ALLOC_FAILED ? absl::ResourceExhaustedError(text)
                                              : absl::InternalError(text);
}

}  // namespace

absl::Status NoCublasLt(std::string_view found) {
  return absl::FailedPreconditionError(
      StrCat("device_products: \"library\" needs cuBLASLt (libcublasLt.so.13): ", found,
             "; install libcublas of CUDA 13 or name its folder in LD_LIBRARY_PATH, or use \"exact\""));
}

absl::StatusOr<std::unique_ptr<CublasProduct>> CublasProduct::Make() {
  GH_ASSIGN_OR_RETURN(const CublasLt functions, FindCublasLt());
  CublasLtHandle handle = nullptr;
  GH_RETURN_IF_ERROR(StatusOf(functions.create(&handle), "making a handle"));
  return std::unique_ptr<CublasProduct>(new CublasProduct(functions, handle));
}

std::string CublasProduct::Describe() const {
  const size_t version = cublas_.version();
  return StrCat("cuBLASLt ", version / 10000, ".", version / 100 % 100, ".", version % 100);
}

absl::StatusOr<CublasProduct::Owner<CublasLtLayout>> CublasProduct::MakeLayout(CublasDataType type,
                                                                               int64_t rows,
                                                                               int64_t columns) const {
  CublasLtLayout layout = nullptr;
  GH_RETURN_IF_ERROR(StatusOf(
      cublas_.layout_create(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows),
      "describing a matrix"));
  return Owner<CublasLtLayout>(layout, cublas_.layout_destroy);
}

// The library counts column by column: what is (outputs, k) here is (k, outputs) there.
absl::StatusOr<CublasProduct::Plan> CublasProduct::MakePlan(const Shape& shape) const {
  const bool bf16 = shape.operands == Operands::kBF16;
  const CublasDataType type = bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const CublasComputeType compute =
      shape.operands == Operands::kTf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  CublasLtMatmulDesc raw = nullptr;
  GH_RETURN_IF_ERROR(StatusOf(cublas_.desc_create(&raw, compute, CUDA_R_32F), "describing a product"));
  Owner<CublasLtMatmulDesc> desc(raw, cublas_.desc_destroy);
  const CublasOperation transposed = CUBLAS_OP_T;
  GH_RETURN_IF_ERROR(
      StatusOf(cublas_.desc_set(desc.get(), CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
               "describing a product"));
  GH_ASSIGN_OR_RETURN(auto w, MakeLayout(type, shape.k, shape.outputs));
  GH_ASSIGN_OR_RETURN(auto x, MakeLayout(type, shape.k, shape.rows));
  GH_ASSIGN_OR_RETURN(auto y, MakeLayout(CUDA_R_32F, shape.outputs, shape.rows));
  CublasLtPreference wish = nullptr;
  GH_RETURN_IF_ERROR(StatusOf(cublas_.preference_create(&wish), "choosing a kernel"));
  const Owner<CublasLtPreference> preference(wish, cublas_.preference_destroy);
  const uint64_t bytes = kWorkspaceBytes;
  GH_RETURN_IF_ERROR(
      StatusOf(cublas_.preference_set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes)),
               "choosing a kernel"));
  CublasLtHeuristicResult best = {};
  int found = 0;
  GH_RETURN_IF_ERROR(StatusOf(
      cublas_.choose(handle_.get(), desc.get(), w.get(), x.get(), y.get(), y.get(), wish, 1, &best, &found),
      "choosing a kernel"));
  if (found < 1 || best.state != CUBLAS_STATUS_SUCCESS) {
    return absl::InternalError(StrCat("cuBLASLt: it has no kernel for ", shape.rows, " rows, ", shape.k,
                                      " inputs and ", shape.outputs, " outputs"));
  }
  return Plan{std::move(desc), std::move(w), std::move(x), std::move(y), best.algorithm};
}

absl::StatusOr<const CublasProduct::Plan*> CublasProduct::FindPlan(const Shape& shape) {
  const auto known = plans_.find(shape);
  if (known != plans_.end()) return &known->second;
  GH_ASSIGN_OR_RETURN(Plan plan, MakePlan(shape));
  if (plans_.size() >= kMostPlans) plans_.clear();
  return &plans_.emplace(shape, std::move(plan)).first->second;
}

absl::Status CublasProduct::Multiply(const Job& job, cudaStream_t stream) {
  GH_ASSIGN_OR_RETURN(const Plan* const plan, FindPlan({job.operands, job.outputs, job.rows, job.k}));
  const float one = 1.0f, zero = 0.0f;
  return StatusOf(cublas_.matmul(handle_.get(), plan->desc.get(), &one, job.w, plan->w.get(), job.x,
                                 plan->x.get(), &zero, job.y, plan->y.get(), job.y, plan->y.get(),
                                 &plan->algorithm, job.workspace, kWorkspaceBytes, stream),
                  "multiplying");
}

}  // namespace guildhall::cuda
