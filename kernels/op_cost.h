// What an op has to move and compute at least, for profiles.
#pragma once

#include "kernels/op_list.h"
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

// By who can read the arguments: the back end that computes the op.
#define GH_COST(Name, name) OpCost CostOf(const Name##Args& args);
GH_FOR_EACH_OP(GH_COST)
#undef GH_COST

}  // namespace guildhall
