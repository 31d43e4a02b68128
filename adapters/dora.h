// DoRA: each row of W + scale B A is brought to a trained length.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"

namespace guildhall {

// magnitude[o] / || W[o] + scale (B A)[o] ||, the norms summed in double precision. `weight` (out, in) of any
// dtype; `a` (rank, in) and `b` (out, rank) of F32; `magnitude` (out) of any dtype. INVALID_ARGUMENT naming
// the row whose norm is 0 or whose gain is not finite.
absl::StatusOr<std::vector<float>> DoraGains(const TensorView& weight, const TensorView& a,
                                             const TensorView& b, float scale, const TensorView& magnitude);

// The same for an embedding: `weight` (in, out) holds the outputs in its columns.
absl::StatusOr<std::vector<float>> DoraEmbeddingGains(const TensorView& weight, const TensorView& a,
                                                      const TensorView& b, float scale,
                                                      const TensorView& magnitude);

}  // namespace guildhall
