// What an op has to move and compute at least, for profiles.
#pragma once

#include "kernels/ops.h"

namespace guildhall {

// Bytes of weights, inputs and outputs, each counted once (weights of experts: those that have rows), and
// floating-point operations of the products (integer ones counted alike). Low-rank changes are not counted.
struct OpCost {
  double bytes = 0.0;
  double flops = 0.0;
};

// Bytes of a packed matrix, its share of scales counted in.
double WeightBytes(const Matrix& matrix);

OpCost CostOf(const EmbedArgs& args);
OpCost CostOf(const RmsNormArgs& args);
OpCost CostOf(const MatMulArgs& args);
OpCost CostOf(const HeadMatMulArgs& args);
OpCost CostOf(const RopeArgs& args);
OpCost CostOf(const AppendKvArgs& args);
OpCost CostOf(const AttentionArgs& args);
OpCost CostOf(const RouteArgs& args);
OpCost CostOf(const ExpertFfnArgs& args);
OpCost CostOf(const FfnArgs& args);
OpCost CostOf(const GatherRowsArgs& args);

}  // namespace guildhall
