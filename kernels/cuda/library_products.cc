#include "kernels/cuda/library_products.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "kernels/cuda/bring_to_host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/library_kernels.h"
#include "kernels/cuda/low_rank.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

// Rows and outputs of a part stand in a grid's second dimension.
constexpr int64_t kMostOfPart = 32768;
// The library has its fastest kernels where rows begin at multiples of 16 bytes.
constexpr int64_t kUnit = 16;
// Outputs come in so many, if there are more than a part holds.
constexpr int64_t kOutputUnit = 8;

CublasProduct::Operands OperandsOf(WeightFormat format) {
  if (format == WeightFormat::kF32) return CublasProduct::Operands::kFloats;
  return format == WeightFormat::kF16 ? CublasProduct::Operands::kTf32 : CublasProduct::Operands::kBF16;
}

}  // namespace

// One packed matrix, or gate and up, and the rows that it is multiplied with.
struct LibraryProducts::Operand {
  const Matrix& w;
  int parts;
  RoundRowsArgs rows;  // `rows`: all of them; `in`, `k` and `to` are found out here

  int64_t out() const { return w.out / parts; }
};

// Places of a slot, and its weights.
struct LibraryProducts::Slot {
  FfnWeights weights;
  int64_t first, count;
};

absl::StatusOr<std::unique_ptr<LibraryProducts>> LibraryProducts::Make(const LibraryOptions& options) {
  GH_ASSIGN_OR_RETURN(auto product, CublasProduct::Make());
  return std::unique_ptr<LibraryProducts>(new LibraryProducts(std::move(product), options));
}

void LibraryProducts::UseScratch(std::byte* memory) {
  weights_ = memory;
  rows_ = weights_ + part_bytes_;
  sums_ = reinterpret_cast<float*>(rows_ + part_bytes_);
  workspace_ = rows_ + 2 * part_bytes_;
}

// How many of `bytes` each a part holds, of `all`.
int64_t LibraryProducts::HeldBy(size_t bytes, int64_t all) const {
  const auto held = static_cast<int64_t>(part_bytes_ / bytes);
  GH_CHECK_GE(held, 1);
  return std::min({held, kMostOfPart, all});
}

// Part by part of rows and outputs; finish(block) takes the sums of one.
template <typename Finish>
absl::Status LibraryProducts::Multiply(const Operand& operand, const Context& context, Finish finish) {
  const auto parts = static_cast<int64_t>(operand.parts);
  const Matrix& w = operand.w;
  RoundRowsArgs rows = operand.rows;
  rows.format = w.format;
  rows.in = w.in;
  rows.k = DivideUp(w.in, kUnit) * kUnit;
  rows.to = rows_;
  const size_t element = OperandsAreFloats(w.format) ? 4 : 2;
  const size_t vector = static_cast<size_t>(rows.k) * element;
  const int64_t most_rows = HeldBy(vector, operand.rows.rows);
  const size_t sums_of_output = static_cast<size_t>(most_rows * parts) * sizeof(float);
  int64_t most_outputs = std::min(HeldBy(vector * static_cast<size_t>(parts), operand.out()),
                                  HeldBy(sums_of_output, operand.out()));
  if (most_outputs < operand.out() && most_outputs > kOutputUnit) {
    most_outputs = most_outputs / kOutputUnit * kOutputUnit;
  }
  for (int64_t row = 0; row < operand.rows.rows; row += most_rows) {
    rows.first = operand.rows.first + row;
    rows.rows = std::min(most_rows, operand.rows.rows - row);
    GH_RETURN_IF_ERROR(StatusOf(RoundRows(rows, context), "rounding rows"));
    for (int64_t output = 0; output < operand.out(); output += most_outputs) {
      const int64_t outputs = std::min(most_outputs, operand.out() - output);
      GH_RETURN_IF_ERROR(StatusOf(UnpackOutputs({.packed = w.data,
                                                 .format = w.format,
                                                 .parts = operand.parts,
                                                 .out = operand.out(),
                                                 .in = w.in,
                                                 .first_output = output,
                                                 .outputs = outputs,
                                                 .k = rows.k,
                                                 .to = weights_},
                                                context),
                                  "unpacking weights"));
      GH_RETURN_IF_ERROR(product_->Multiply({.operands = OperandsOf(w.format),
                                             .w = weights_,
                                             .x = rows_,
                                             .y = sums_,
                                             .outputs = parts * outputs,
                                             .rows = rows.rows,
                                             .k = rows.k,
                                             .workspace = workspace_},
                                            context.stream));
      GH_RETURN_IF_ERROR(StatusOf(finish(SumBlock{.sums = sums_,
                                                  .first_row = rows.first,
                                                  .rows = rows.rows,
                                                  .first_output = output,
                                                  .outputs = outputs}),
                                  "finishing sums"));
    }
  }
  return absl::OkStatus();
}

absl::Status LibraryProducts::Run(const MatMulArgs& args, const Context& context, DeviceMemory&) {
  if (!args.low_rank.none()) GH_RETURN_IF_ERROR(StatusOf(Shrink(ShrinkOf(args), context), "shrinking rows"));
  const Operand operand{args.w, 1, {.x = args.x, .x_stride = args.x_stride, .first = 0, .rows = args.rows}};
  return Multiply(operand, context,
                  [&](const SumBlock& block) { return FinishMatMul(args, block, context); });
}

absl::Status LibraryProducts::GateUp(const FfnJob& job, const Slot& slot, const Context& context) {
  const Operand operand{slot.weights.gate_up,
                        2,
                        {.x = job.x,
                         .x_stride = job.x_stride,
                         .entry = job.group_entry,
                         .entries_per_row = job.k,
                         .first = slot.first,
                         .rows = slot.count}};
  FfnJob of_slot = job;
  of_slot.only = slot.weights;
  return Multiply(operand, context,
                  [&](const SumBlock& block) { return FinishGateUp(of_slot, block, context); });
}

absl::Status LibraryProducts::Down(const FfnJob& job, const Slot& slot, const Context& context) {
  const Operand operand{
      slot.weights.down,
      1,
      {.x = job.h, .x_stride = job.width, .entry = job.group_entry, .first = slot.first, .rows = slot.count}};
  FfnJob of_slot = job;
  of_slot.only = slot.weights;
  return Multiply(operand, context,
                  [&](const SumBlock& block) { return FinishDown(of_slot, block, context); });
}

// for_slots(body) calls body(slot) for those that have entries.
template <typename ForSlots>
absl::Status LibraryProducts::RunJob(const FfnJob& job, const Context& context, ForSlots for_slots) {
  GH_RETURN_IF_ERROR(StatusOf(ShrinkGateUp(job, context), "shrinking rows"));
  GH_RETURN_IF_ERROR(for_slots([&](const Slot& slot) { return GateUp(job, slot, context); }));
  GH_RETURN_IF_ERROR(StatusOf(ShrinkDown(job, context), "shrinking rows"));
  GH_RETURN_IF_ERROR(for_slots([&](const Slot& slot) { return Down(job, slot, context); }));
  return StatusOf(CombineEntries(job, context), "adding experts");
}

absl::Status LibraryProducts::Run(const FfnArgs& args, const Context& context, DeviceMemory&) {
  const FfnJob job = JobOf(args, context);
  return RunJob(job, context, [&](auto body) { return body(Slot{job.only, 0, job.rows}); });
}

absl::Status LibraryProducts::Run(const ExpertFfnArgs& args, const Context& context, DeviceMemory& memory) {
  const FfnJob job = JobOf(args, context);
  std::vector<int32_t> begin;
  std::vector<FfnWeights> table;
  GH_RETURN_IF_ERROR(BringToHost(args.group_begin, args.slots + 1, memory, begin));
  GH_RETURN_IF_ERROR(BringToHost(args.table, args.slots, memory, table));
  return RunJob(job, context, [&](auto body) -> absl::Status {
    for (size_t s = 0; s < table.size(); ++s) {
      if (begin[s + 1] == begin[s]) continue;
      GH_RETURN_IF_ERROR(body(Slot{table[s], begin[s], begin[s + 1] - begin[s]}));
    }
    return absl::OkStatus();
  });
}

}  // namespace guildhall::cuda
