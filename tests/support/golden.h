// The goldens of tests/goldens: tiny checkpoints and what transformers computes with them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/npy.h"

namespace guildhall {

struct Golden {
  struct Sequence {
    std::vector<int32_t> tokens;
    NpyArray logits;  // (tokens, vocabulary)
  };
  struct Greedy {
    std::vector<int32_t> prompt, continuation;
  };
  std::string name;       // "olmoe_f32"
  std::string directory;  // a Hugging Face folder
  bool bf16 = false;
  bool f16 = false;
  // Of f16: root mean square by which transformers' own float16 arithmetic misses the logits.
  double float16_error = 0;
  std::vector<Sequence> sequences;
  std::vector<Greedy> greedy;
};

// All cases, by name. CHECKs that there are some: goldens that were not found must not pass for goldens that
// hold.
std::vector<std::string> GoldenNames();
Golden LoadGolden(const std::string& name);

// The cases of tests/goldens_adapters: adapter folders over those checkpoints, and what PEFT and transformers
// compute.
struct AdapterGolden {
  struct Adapter {
    std::string name, directory, kind;
  };
  struct Use {
    std::string name;
    float scale;
  };
  struct Sequence {
    std::vector<Use> adapters;  // in the order in which they are applied; empty: the base
    std::vector<int32_t> tokens;
    NpyArray logits;  // (tokens, vocabulary)
    double expected_minus_base = 0.0;
  };
  std::string name;
  std::string base;  // a name for LoadGolden
  std::vector<Adapter> adapters;
  std::vector<Sequence> sequences;
};
std::vector<std::string> AdapterGoldenNames();
AdapterGolden LoadAdapterGolden(const std::string& name);

}  // namespace guildhall
