// ESFT folders on a tiny OLMoE and on the families' goldens: what is read, and every refusal by name.
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/adapters/adapter_builder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

Json ExpertConfig(const Json& experts, bool shared = false, bool others = false) {
  return {{"experts", experts}, {"shared_experts", shared}, {"non_expert_modules", others}};
}

std::string RefusalOf(const Json& config, const TestTensors& tensors, absl::StatusCode* code = nullptr) {
  static const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  if (!config.is_null()) folder.Write("expert_cfg.json", config);
  folder.Write("model-00001-of-000001.safetensors", SafetensorsBytes(tensors));
  return Refusal(folder, *base, code);
}

TestTensors OneExpert() {
  TestTensors tensors;
  AddExpert(tensors, 1, 5000);
  return tensors;
}

}  // namespace

TEST_CASE("an ESFT folder of two shards and legacy names says what it replaces, and reads it") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  TestTensors first, second;
  AddExpert(first, 1, 5000, "");
  AddExpert(second, 0, 7000, "");
  folder.Write("expert_cfg.json", ExpertConfig({{"0", {1, 0}}}));
  folder.Write("model-00001-of-000002.safetensors", SafetensorsBytes(first));
  folder.Write("model-00002-of-000002.safetensors", SafetensorsBytes(second));
  folder.Write("model.safetensors.index.json", std::string("not read"));
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  const AdapterManifest& manifest = (*source)->manifest();
  CHECK(manifest.kind == "esft");
  CHECK(manifest.notes.empty());
  CHECK(manifest.file_bytes == 2 * 36 * 4);
  REQUIRE(manifest.replaced.size() == 2);
  CHECK(manifest.replaced[0].expert == 0);
  CHECK(manifest.replaced[1].expert == 1);
  AdapterSource::Scratch scratch;
  const auto up = (*source)->ReadReplaced({WeightRole::kExpertUp, 0, 1}, scratch);
  REQUIRE(up.ok());
  CHECK(up->shape == std::vector<int64_t>{3, 4});
  CHECK(LoadElement(up->data, up->dtype, 3) == 5103.0f);
}

TEST_CASE("without expert_cfg.json the tensors say it, and the manifest says so") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  folder.Write("tuned.safetensors", SafetensorsBytes(OneExpert()));
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  REQUIRE((*source)->manifest().notes.size() == 1);
  CHECK_THAT((*source)->manifest().notes[0], Contains("derived from the tensors"));
}

TEST_CASE("expert_cfg.json may lie elsewhere, and is believed no less") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder, elsewhere;
  folder.Write("tuned.safetensors", SafetensorsBytes(OneExpert()));
  elsewhere.Write("mine.json", ExpertConfig({{"0", {1}}}));
  AdapterFolderOptions options;
  options.expert_config = elsewhere.Path("mine.json");
  CHECK(Refusal(folder, *base, nullptr, options) == "");
  elsewhere.Write("mine.json", ExpertConfig({{"0", {0}}}));
  CHECK_THAT(Refusal(folder, *base, nullptr, options), Contains("expert 0 is listed, found no tensor"));
  options.expert_config = elsewhere.Path("absent.json");
  absl::StatusCode code;
  Refusal(folder, *base, &code, options);
  CHECK(code == absl::StatusCode::kNotFound);
}

TEST_CASE("the dtype of each tensor is kept: F32 experts beside a BF16 base") {
  const auto base = GoldenBase("deepseek_v2_lite_bf16");
  const ModelSpec& spec = base->spec();
  const TestFolder folder;
  TestTensors tensors;
  const std::string block = "model.layers.1.mlp.experts.3.";
  tensors[block + "gate_proj.weight"] = Counting({spec.expert_width, spec.hidden});
  tensors[block + "down_proj.weight"] = Counting({spec.hidden, spec.expert_width});
  TestTensor up = Counting({spec.expert_width, spec.hidden});
  up.dtype = "BF16";
  up.bytes.resize(up.bytes.size() / 2);
  tensors[block + "up_proj.weight"] = up;
  folder.Write("a.safetensors", SafetensorsBytes(tensors));
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  const ReplacedFfn& ffn = (*source)->manifest().replaced.at(0);
  CHECK(ffn.gate == DType::kF32);
  CHECK(ffn.up == DType::kBF16);
  CHECK(ffn.down == DType::kF32);
  CHECK_THAT((*source)->manifest().notes.at(1), Contains("2 of 3 tensors are F32"));
}

TEST_CASE("the configuration and the tensors must say the same") {
  TestTensors two = OneExpert();
  AddExpert(two, 0, 0);
  CHECK(RefusalOf(ExpertConfig({{"0", {0, 1}}}), two) == "");
  CHECK_THAT(
      RefusalOf(ExpertConfig({{"0", {0, 1}}}), OneExpert()),
      Contains("experts.0: expert 0 is listed, found no tensor layers.0.mlp.experts.0.gate_proj.weight"));
  CHECK_THAT(RefusalOf(ExpertConfig({{"0", {1}}}), two), Contains("expected expert 0 in the list"));
  CHECK_THAT(RefusalOf(ExpertConfig({{"0", {1}}}, true), OneExpert()),
             Contains("shared_experts: expected false") && Contains("found true"));
}

TEST_CASE("expert_cfg.json is checked value by value") {
  const struct {
    Json config;
    const char* text;
  } kCases[] = {
      {Json::array(), "expected an object"},
      {Json::object(), "experts: expected an object, the key is missing"},
      {ExpertConfig(Json::array()), "experts: expected an object"},
      {ExpertConfig({{"0", {2}}}), "expected experts from 0 to 1, found 2"},
      {ExpertConfig({{"0", {-1}}}), "expected experts from 0 to 1, found -1"},
      {ExpertConfig({{"0", {0.5}}}), "expected experts from 0 to 1, found 0.5"},
      {ExpertConfig({{"0", {1e300}}}), "found 1e+300"},
      {ExpertConfig({{"0", {"1"}}}), "found \"1\""},
      {ExpertConfig({{"0", {1, 1}}}), "found 1 twice"},
      {ExpertConfig({{"0", 1}}), "expected a list of experts, found 1"},
      {ExpertConfig({{"0", nullptr}}), "found null"},
      {ExpertConfig({{"1", {0}}}), "expected the number of a layer from 0 to 0, found \"1\""},
      {ExpertConfig({{"00", {0}}}), "found \"00\""},
      {ExpertConfig({{"-0", {0}}}), "found \"-0\""},
      {ExpertConfig({{"0x0", {0}}}), "found \"0x0\""},
      {ExpertConfig({{"99999999999999999999", {0}}}), "expected the number of a layer"},
      {{{"experts", Json::object()}, {"shared_experts", "no"}}, "shared_experts: expected true or false"},
      {{{"experts", Json::object()}, {"shared_expert", true}}, "did you mean \"shared_experts\"?"},
  };
  for (const auto& entry : kCases) {
    absl::StatusCode code;
    const std::string refusal = RefusalOf(entry.config, OneExpert(), &code);
    INFO(refusal);
    CHECK(code == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(refusal, Contains(entry.text));
  }
}

TEST_CASE("non_expert_modules is refused with the cure") {
  absl::StatusCode code;
  CHECK_THAT(RefusalOf(ExpertConfig({{"0", {1}}}, false, true), OneExpert(), &code),
             Contains("non_expert_modules: expected false, found true") && Contains("base model of its own"));
  CHECK(code == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("tensors that are no complete expert of the base are named") {
  const struct {
    const char* name;
    const char* reason;
  } kOthers[] = {
      {"model.layers.0.mlp.experts.2.gate_proj.weight", "expert 2 (the base has 0 to 1)"},
      {"model.layers.0.mlp.experts.01.gate_proj.weight", "does not have"},
      {"model.layers.0.mlp.experts.-1.gate_proj.weight", "does not have"},
      {"model.layers.0.mlp.experts.1.w1.weight", "does not have"},
      {"model.layers.1.mlp.experts.1.gate_proj.weight", "a layer that the base does not have (0 to 0)"},
      {"model.layers.0.self_attn.q_proj.weight", "a weight outside the experts"},
      {"layers.0.mlp.gate.weight", "a weight outside the experts"},
      {"lm_head.weight", "a weight outside the experts"},
      {"model.layers.0.mlp.shared_experts.gate_proj.weight", "does not have"},
      {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "adapter_config.json is missing"},
  };
  for (const auto& other : kOthers) {
    TestTensors tensors = OneExpert();
    tensors[other.name] = Counting({3, 4});
    const std::string refusal = RefusalOf(nullptr, tensors);
    INFO(refusal);
    CHECK_THAT(refusal, Contains(other.name) && Contains(other.reason));
  }
  TestTensors incomplete = OneExpert();
  incomplete.erase("model.layers.0.mlp.experts.1.up_proj.weight");
  CHECK_THAT(RefusalOf(nullptr, incomplete),
             Contains("layers.0.mlp.experts.1.up_proj.weight: expected [3, 4], found no such tensor"));
  TestTensors wrong = OneExpert();
  wrong["model.layers.0.mlp.experts.1.up_proj.weight"] = Counting({4, 4});
  CHECK_THAT(RefusalOf(nullptr, wrong), Contains("expected [3, 4], found [4, 4]"));
  TestTensors twice = OneExpert();
  AddExpert(twice, 1, 0, "");
  CHECK_THAT(RefusalOf(nullptr, twice), Contains("found a second one"));
}

TEST_CASE("dense layers and dense models have no experts to replace") {
  const auto deepseek = GoldenBase("deepseek_v2_lite_f32");
  const TestFolder folder;
  TestTensors tensors;
  tensors["model.layers.0.mlp.experts.0.gate_proj.weight"] = Counting({1, 1});
  folder.Write("a.safetensors", SafetensorsBytes(tensors));
  CHECK_THAT(Refusal(folder, *deepseek), Contains("layer 0, which is dense"));
  folder.Write("expert_cfg.json", ExpertConfig({{"0", {1}}}));
  CHECK_THAT(Refusal(folder, *deepseek), Contains("found layer 0, which is dense"));
  const TinyBase llama = TinyBase::Llama();
  CHECK_THAT(Refusal(folder, *llama), Contains("llama) has none"));
}

}  // namespace guildhall
