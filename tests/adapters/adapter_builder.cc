#include "tests/adapters/adapter_builder.h"

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall {

TinyBase::TinyBase(const Json& config, const TestTensors& tensors) : folder_(std::make_unique<TestFolder>()) {
  folder_->Write("config.json", config);
  folder_->Write("model.safetensors", SafetensorsBytes(tensors));
  auto checkpoint = Checkpoint::Open(folder_->path());
  GH_CHECK(checkpoint.ok());
  checkpoint_ = *std::move(checkpoint);
}

std::unique_ptr<Checkpoint> GoldenBase(const std::string& name) {
  auto checkpoint = Checkpoint::Open(std::string(GUILDHALL_SOURCE_DIR) + "/tests/goldens/" + name);
  GH_CHECK(checkpoint.ok());
  return *std::move(checkpoint);
}

Json PeftConfigJson(const Json& targets) {
  return {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"target_modules", targets}};
}

void AddFactors(TestTensors& tensors, const std::string& module, int64_t out, int64_t in, int64_t rank) {
  const std::string prefix = "base_model.model.model.layers.0." + module;
  tensors[prefix + ".lora_A.weight"] = Counting({rank, in}, 1);
  tensors[prefix + ".lora_B.weight"] = Counting({out, rank}, 101);
}

TestTensors AllLinearFactors() {
  TestTensors tensors;
  for (const char* name : {"q", "k", "v", "o"}) {
    AddFactors(tensors, std::string("self_attn.") + name + "_proj", 4, 4);
  }
  for (const std::string expert : {"0", "1"}) {
    AddFactors(tensors, "mlp.experts." + expert + ".gate_proj", 3, 4);
    AddFactors(tensors, "mlp.experts." + expert + ".up_proj", 3, 4);
    AddFactors(tensors, "mlp.experts." + expert + ".down_proj", 4, 3);
  }
  return tensors;
}

TestTensors QFactors() {
  TestTensors tensors;
  AddFactors(tensors, "self_attn.q_proj", 4, 4);
  return tensors;
}

void AddExpert(TestTensors& tensors, int expert, float first, const std::string& prefix) {
  const std::string block = StrCat(prefix, "layers.0.mlp.experts.", expert, ".");
  tensors[block + "gate_proj.weight"] = Counting({3, 4}, first);
  tensors[block + "up_proj.weight"] = Counting({3, 4}, first + 100);
  tensors[block + "down_proj.weight"] = Counting({4, 3}, first + 200);
}

void WritePeft(const TestFolder& folder, const Json& config, const TestTensors& tensors) {
  folder.Write("adapter_config.json", config);
  folder.Write("adapter_model.safetensors", SafetensorsBytes(tensors));
}

std::string Refusal(const TestFolder& folder, const WeightSource& base, absl::StatusCode* code,
                    const AdapterFolderOptions& options) {
  const auto source = OpenAdapterFolder(folder.path(), base, options);
  if (code != nullptr) *code = source.status().code();
  return source.ok() ? "" : std::string(source.status().message());
}

std::string PeftRefusal(const Json& config, const TestTensors& tensors, absl::StatusCode* code) {
  static const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, config, tensors);
  return Refusal(folder, *base, code);
}

}  // namespace guildhall
