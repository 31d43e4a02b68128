#include "checkpoint/expected_weights.h"

#include "base/check.h"
#include "checkpoint/weight_names.h"

namespace guildhall {

Binding ExpectedWeights(const HfConfig& config) {
  GH_CHECK(config.family != nullptr);
  const ModelSpec& spec = config.spec;
  const WeightNames names(spec, *config.family, "model.");
  Binding binding;
  const auto add = [&](const ExpectedTensor& tensor) {
    binding.weights[tensor.key] = {tensor.name, {spec.dtype, tensor.shape, nullptr}, nullptr};
  };
  add(names.Embedding());
  if (!spec.tied_embeddings) add(names.Head());
  add(names.FinalNorm());
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    for (const ExpectedTensor& tensor : names.Layer(layer)) add(tensor);
    if (!spec.layers[static_cast<size_t>(layer)].moe) continue;
    for (int expert = 0; expert < spec.gate.experts; ++expert) {
      for (const ExpectedTensor& tensor : names.Expert(layer, expert)) add(tensor);
    }
  }
  return binding;
}

}  // namespace guildhall
