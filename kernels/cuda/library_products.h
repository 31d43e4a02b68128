// Ops of many rows whose products are a library's: device_products: library. What surrounds the products,
// low-rank changes included, is what the exact ops have.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/align.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/cublas_product.h"
#include "kernels/cuda/ffn_job.h"
#include "kernels/device_memory.h"
#include "kernels/device_products.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// Of the thread that runs the steps.
class LibraryProducts {
 public:
  // The device is current. FAILED_PRECONDITION where the library is not there.
  static absl::StatusOr<std::unique_ptr<LibraryProducts>> Make(const LibraryOptions& options);

  std::string Describe() const { return product_->Describe(); }

  // Memory of ops, whatever their shapes, at a multiple of 256: who calls gives it before the first one.
  size_t ScratchBytes() const { return 3 * part_bytes_ + CublasProduct::kWorkspaceBytes; }
  void UseScratch(std::byte* memory);

  // Whether an op, or the average slot, has so many rows that the library is worth what surrounds it.
  bool Takes(const MatMulArgs& args) const { return args.rows >= many_rows_; }
  bool Takes(const FfnArgs& args) const { return args.rows >= many_rows_; }
  bool Takes(const ExpertFfnArgs& args) const { return args.rows * args.k >= many_rows_ * args.slots; }

  // Enqueue. An op of experts first awaits what the router gave: the library is called once for each slot.
  absl::Status Run(const MatMulArgs& args, const Context& context, DeviceMemory& memory);
  absl::Status Run(const FfnArgs& args, const Context& context, DeviceMemory& memory);
  absl::Status Run(const ExpertFfnArgs& args, const Context& context, DeviceMemory& memory);

 private:
  struct Operand;
  struct Slot;

  LibraryProducts(std::unique_ptr<CublasProduct> product, const LibraryOptions& options)
      : product_(std::move(product)),
        many_rows_(options.rows),
        part_bytes_(AlignUp(options.part_bytes, 256)) {}
  int64_t HeldBy(size_t bytes, int64_t all) const;

  template <typename Finish>
  absl::Status Multiply(const Operand& operand, const Context& context, Finish finish);
  template <typename ForSlots>
  absl::Status RunJob(const FfnJob& job, const Context& context, ForSlots for_slots);
  absl::Status GateUp(const FfnJob& job, const Slot& slot, const Context& context);
  absl::Status Down(const FfnJob& job, const Slot& slot, const Context& context);

  const std::unique_ptr<CublasProduct> product_;
  const int64_t many_rows_;
  const size_t part_bytes_;
  std::byte *weights_ = nullptr, *rows_ = nullptr, *workspace_ = nullptr;
  float* sums_ = nullptr;
};

}  // namespace guildhall::cuda
