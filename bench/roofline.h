// What a step must read and compute at least, and the rate that the machine's own limits allow.
#pragma once

#include <cstdint>

#include "checkpoint/model_spec.h"
#include "weights/weight_formats.h"

namespace guildhall {

// Parameters that one token is multiplied with, by the instruction that does it.
struct ActiveParameters {
  double fp32 = 0.0;  // f32 and f16 weights, routers
  double bf16 = 0.0;
  double int8 = 0.0;  // every quantized format
  double all() const { return fp32 + bf16 + int8; }
};
ActiveParameters operator+(const ActiveParameters& a, const ActiveParameters& b);
ActiveParameters operator*(double factor, const ActiveParameters& a);

// Bytes and parameters of a model's weights as a step touches them, KV cache and activations not counted.
struct ModelCost {
  double dense_bytes = 0.0;   // read by every step: attention, norms, router, shared experts, head
  double expert_bytes = 0.0;  // all routed experts of all layers
  ActiveParameters layers;    // of every row
  ActiveParameters head;      // of the rows whose logits are wanted: the last of each sequence
  // Of one row, when a share of the rows wants logits.
  ActiveParameters Active(double share = 1.0) const { return layers + share * head; }
  double all_bytes() const { return dense_bytes + expert_bytes; }
};
// Kinds without a format of their own are of the spec's dtype.
ModelCost CostOf(const ModelSpec& spec, const WeightFormats& formats = {});

// Layers with routed experts.
int64_t MoeLayers(const ModelSpec& spec);

// Bytes that a step reads which touches so many expert slots, over all layers (ForwardBench::SlotsRead).
double StepBytes(const ModelSpec& spec, const ModelCost& cost, double slots);

// What the machine reached beside a measurement: bytes per second, and operations per second of each
// instruction (a multiply-add is two). 0: it has no such instruction, and fp32 does its work.
struct MachineLimits {
  double read = 0.0;
  double fp32 = 0.0, bf16 = 0.0, int8 = 0.0;
};

// Rows per second at most: the lower of the bandwidth's and the arithmetic's limit.
struct Ceiling {
  double bandwidth_rows = 0.0;
  double arithmetic_rows = 0.0;
  double rows() const { return bandwidth_rows < arithmetic_rows ? bandwidth_rows : arithmetic_rows; }
};
// Of steps of `rows` rows that read `bytes` and multiply `active` parameters with each row.
Ceiling CeilingOf(const ActiveParameters& active, int64_t rows, double bytes, const MachineLimits& limits);

}  // namespace guildhall
