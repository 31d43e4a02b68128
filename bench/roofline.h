// What a step must read and compute at least, and the rate that the machine's own limits allow.
#pragma once

#include <cstdint>

#include "checkpoint/model_spec.h"

namespace guildhall {

// Bytes and parameters of a model's weights as a step touches them, KV cache and activations not counted.
struct ModelCost {
  double dense_bytes = 0.0;        // read by every step: attention, norms, router, shared experts, head
  double expert_bytes = 0.0;       // all routed experts of all layers
  double active_parameters = 0.0;  // multiplied for one token
};
ModelCost CostOf(const ModelSpec& spec);

// Bytes that a step reads which touches so many expert slots, over all layers (ForwardBench::SlotsRead).
double StepBytes(const ModelSpec& spec, const ModelCost& cost, double slots);

// Rows per second at most: the lower of the bandwidth's and the arithmetic's limit.
struct Ceiling {
  double bandwidth_rows = 0.0;
  double arithmetic_rows = 0.0;
  double rows() const { return bandwidth_rows < arithmetic_rows ? bandwidth_rows : arithmetic_rows; }
};
// Of steps of `rows` rows that read `bytes`. `bandwidth` in bytes per second, `peak` in operations per second
// (a multiply-add is two).
Ceiling CeilingOf(const ModelCost& cost, int64_t rows, double bytes, double bandwidth, double peak);

}  // namespace guildhall
