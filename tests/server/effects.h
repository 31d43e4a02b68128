// What shows that a field or a key is not without effect.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/server/fixture.h"

namespace guildhall {

// "sampling.temperature", ...: all fields that hold a value, of a message of ours and those in it.
void WalkFields(const google::protobuf::Descriptor& message, const std::string& prefix,
                std::set<std::string>& paths);

// Prompts of one token to the scripted model.
inline constexpr int32_t kEnds = 50;     // answered by "one two", then the end token
inline constexpr int32_t kRepeats = 60;  // answered by itself without end
inline constexpr int32_t kSpecial = 70;  // answered by a special token
inline constexpr int32_t kLooksUp = 80;  // with seven more tokens answered by 6, 70
ScriptedModel::Options EffectModel();

// What a client sees of an answer, without what differs from call to call.
std::string Seen(v1::Inference::Stub& stub, const v1::GenerateRequest& request);

// A sampling field, wherever it is said: `base` without it, and what sets it so that the answer is another.
struct SamplingEffect {
  std::string name;
  v1::GenerateRequest base;
  std::function<void(v1::SamplingOptions&)> set;
};
std::vector<SamplingEffect> SamplingEffects();

}  // namespace guildhall
