// Parts of a ModelSpec in words, for people.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoint/model_spec.h"

namespace guildhall {

// "softmax over 64 experts, top 8, weights as they are"
std::string RouterWords(const GateSpec& gate);
// "theta 10000, yarn: factor 40 over 4096 positions"
std::string RopeWords(const RopeSpec& rope);
// "grouped-query: 16 heads on 4 KV heads of 128, norm per head"
std::string AttentionWords(const AttentionSpec& attention);
// "27 layers: 1 dense, 26 MoE"
std::string LayerWords(const ModelSpec& spec);

// "6.92 billion"
std::string CountWords(int64_t count);

}  // namespace guildhall
