// Adapter folders that the tests write, over small base models.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "adapters/adapter_folder.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {

// The OLMoE or Llama of tests/checkpoint/tiny_folder.h, opened.
class TinyBase {
 public:
  static TinyBase Olmoe() { return TinyBase(TinyOlmoeConfig(), TinyOlmoeTensors()); }
  static TinyBase Llama() { return TinyBase(TinyLlamaConfig(), TinyLlamaTensors()); }
  const Checkpoint& operator*() const { return *checkpoint_; }

 private:
  TinyBase(const Json& config, const TestTensors& tensors);
  std::unique_ptr<TestFolder> folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

// A base of tests/goldens.
std::unique_ptr<Checkpoint> GoldenBase(const std::string& name);

// What PEFT writes for rank 2 and alpha 4 on `targets`, and nothing that it could leave out.
Json PeftConfigJson(const Json& targets);

// A pair of factors of rank `rank` for "model.layers.0.MODULE".
void AddFactors(TestTensors& tensors, const std::string& module, int64_t out, int64_t in, int64_t rank = 2);

// Of every matrix that PEFT's all-linear finds in the tiny OLMoE of transformers 4, but the router.
TestTensors AllLinearFactors();

// Those of "self_attn.q_proj" of the tiny bases.
TestTensors QFactors();

// Gate, up and down of an expert of the tiny OLMoE, by ascending numbers from `first`; `prefix` "model." or
// "".
void AddExpert(TestTensors& tensors, int expert, float first, const std::string& prefix = "model.");

void WritePeft(const TestFolder& folder, const Json& config, const TestTensors& tensors);

// The message of a refusal; "" where the folder opens. `code`, if given, becomes its code.
std::string Refusal(const TestFolder& folder, const WeightSource& base, absl::StatusCode* code = nullptr,
                    const AdapterFolderOptions& options = {});

// The same of a PEFT folder for the tiny OLMoE.
std::string PeftRefusal(const Json& config, const TestTensors& tensors, absl::StatusCode* code = nullptr);

}  // namespace guildhall
