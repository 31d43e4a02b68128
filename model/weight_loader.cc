#include "model/weight_loader.h"

#include "base/check.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/weight_plan.h"
#include "weights/pack_runner.h"

namespace guildhall {

size_t PackedWeightBytes(const WeightSource& source, const Backend& backend, const WeightFormats& formats) {
  DecoderWeights unused;
  return PlanWeights(source, backend, AskedFormats(source, formats), nullptr, unused).bytes;
}

absl::StatusOr<DecoderWeights> LoadWeights(const WeightSource& source, Backend& backend,
                                           const WeightFormats& formats,
                                           const std::function<void(size_t, size_t)>& progress) {
  DecoderWeights weights;
  const size_t bytes = PackedWeightBytes(source, backend, formats);
  GH_ASSIGN_OR_RETURN(weights.memory, backend.memory().Allocate(bytes, "model weights"));
  std::byte* const home = weights.memory.data();
  const WeightPlan plan = PlanWeights(source, backend, AskedFormats(source, formats), home, weights);
  GH_CHECK_EQ(plan.bytes, bytes);
  GH_RETURN_IF_ERROR(
      PackItems(plan.items, {&home, 1}, backend.memory(), {.threads = AllowedCpus(), .progress = progress}));
  return weights;
}

}  // namespace guildhall
