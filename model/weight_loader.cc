#include "model/weight_loader.h"

#include "base/check.h"
#include "base/status.h"
#include "model/weight_jobs.h"
#include "model/weight_plan.h"

namespace guildhall {

size_t PackedWeightBytes(const WeightSource& source, const Backend& backend, const WeightFormats& formats) {
  DecoderWeights unused;
  return PlanWeights(source, backend, AskedFormats(source, formats), nullptr, unused).bytes;
}

absl::StatusOr<DecoderWeights> LoadWeights(const WeightSource& source, const Backend& backend,
                                           const WeightFormats& formats,
                                           const std::function<void(size_t, size_t)>& progress) {
  DecoderWeights weights;
  const size_t bytes = PackedWeightBytes(source, backend, formats);
  GH_ASSIGN_OR_RETURN(weights.memory, Buffer::Allocate(bytes, "model weights"));
  std::byte* memory = weights.memory.data();
  const WeightPlan plan = PlanWeights(source, backend, AskedFormats(source, formats), memory, weights);
  GH_CHECK_EQ(plan.bytes, bytes);
  GH_RETURN_IF_ERROR(ForEachWeight(
      plan,
      [memory](const WeightItem& item, WeightScratch& scratch) {
        return item.fill(memory + item.offset, scratch);
      },
      progress));
  return weights;
}

}  // namespace guildhall
