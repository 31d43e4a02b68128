// Rotary position parameters of config.json, in both generations of keys.
#pragma once

#include "checkpoint/config_reader.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

struct RopeContext {
  double default_theta = 10000.0;
  int rotary_dim = 0;
  bool interleaved = false;
  int64_t max_positions = 0;  // max_position_embeddings
};

struct RopeConfig {
  RopeSpec spec;
  // Positions that the rope is made for: max_position_embeddings,
  // or what yarn and dynamic scaling stretch it to.
  int64_t max_positions = 0;
  // DeepSeek's factor of the softmax scale: (0.1 mscale_all_dim ln(factor) + 1)^2, 1 where it does not apply.
  double softmax_factor = 1.0;
};

// 4.x: `rope_theta` + `rope_scaling` {type | rope_type}; 5.x: `rope_parameters`. Contradictions between them,
// kinds that are not served, parameters per layer type that differ, and unknown keys are problems.
// A kind that is waived counts as none.
RopeConfig ReadRope(ConfigReader& config, const RopeContext& context);

}  // namespace guildhall
