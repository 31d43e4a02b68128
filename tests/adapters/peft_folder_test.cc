// PEFT folders on a tiny OLMoE: what is read, and every refusal by name.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/adapters/adapter_builder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

void SetFloat(TestTensor& tensor, size_t index, float value) {
  std::memcpy(&tensor.bytes[index * sizeof(float)], &value, sizeof(value));
}

}  // namespace

TEST_CASE("a LoRA of one module says what it changes, and reads as it lies in the file") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  Json config = PeftConfigJson({"q_proj"});
  config["r"] = 2.0;  // some tools write whole numbers so
  config["base_model_name_or_path"] = "some/base";
  WritePeft(folder, config, QFactors());
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  const AdapterManifest& manifest = (*source)->manifest();
  CHECK(manifest.kind == "lora");
  CHECK(manifest.base_name == "some/base");
  CHECK(manifest.file_bytes == 64);
  REQUIRE(manifest.low_rank.size() == 1);
  const LowRankChange& change = manifest.low_rank[0];
  CHECK(change.key == WeightKey{WeightRole::kQ, 0});
  CHECK(change.module == "model.layers.0.self_attn.q_proj");
  CHECK(change.rank == 2);
  CHECK(change.in == 4);
  CHECK(change.out == 4);
  CHECK(change.scale == 2.0f);
  AdapterSource::Scratch a, b;
  const auto tensors = (*source)->ReadLowRank(change, a, b);
  REQUIRE(tensors.ok());
  CHECK(tensors->a.shape == std::vector<int64_t>{2, 4});
  CHECK(LoadElement(tensors->a.data, tensors->a.dtype, 5) == 6.0f);
  CHECK(LoadElement(tensors->b.data, tensors->b.dtype, 7) == 108.0f);
  CHECK(tensors->gain.empty());
}

TEST_CASE("an expected tensor that the file lacks and one that nobody expects are both named") {
  TestTensors missing = QFactors();
  missing.erase("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
  CHECK_THAT(PeftRefusal(PeftConfigJson({"q_proj"}), missing),
             Contains("q_proj.lora_B.weight: expected [4, 2]") && Contains("found no such tensor"));

  TestTensors extra = QFactors();
  AddFactors(extra, "self_attn.k_proj", 4, 4);
  CHECK_THAT(PeftRefusal(PeftConfigJson({"q_proj"}), extra),
             Contains("k_proj.lora_A.weight") && Contains("which target_modules leaves out"));

  const struct {
    const char* name;
    const char* reason;
  } kExtras[] = {
      {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "lora_bias"},
      {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "use_dora is false"},
      {"base_model.model.model.layers.0.self_attn.q_proj.bias", "trained bias"},
      {"base_model.model.model.layers.0.mlp.gate.lora_A.weight", "a router"},
      {"base_model.model.model.layers.0.input_layernorm.weight", "a norm"},
      {"base_model.model.lm_head.modules_to_save.weight", "modules_to_save"},
      {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", "trained tokens"},
      {"base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight", "does not have"},
      {"base_model.model.model.layers.0.mlp.shared_experts.up_proj.lora_A.weight", "does not have"},
      {"model.layers.0.self_attn.q_proj.lora_A.weight", "without \"base_model.model.\""},
  };
  for (const auto& other : kExtras) {
    TestTensors tensors = QFactors();
    tensors[other.name] = Counting({2, 4});
    const std::string refusal = PeftRefusal(PeftConfigJson({"q_proj"}), tensors);
    INFO(refusal);
    CHECK_THAT(refusal, Contains(other.name) && Contains(other.reason));
  }
}

TEST_CASE("an adapter of a router is refused with the reason, however it is asked for") {
  TestTensors tensors = QFactors();
  AddFactors(tensors, "mlp.gate", 2, 4);
  for (const Json& targets : {Json{"q_proj", "gate"}, Json{"q_proj", "mlp.gate"}, Json(".*(q_proj|gate)")}) {
    CHECK_THAT(PeftRefusal(PeftConfigJson(targets), tensors), Contains("change the routing"));
  }
  Json config = PeftConfigJson({"q_proj"});
  config["target_parameters"] = {"gate.weight"};
  CHECK_THAT(PeftRefusal(config, tensors), Contains("target_parameters") && Contains("change the routing"));
}

TEST_CASE("all-linear means every matrix but embedding and head") {
  TestTensors tensors = AllLinearFactors();
  CHECK(PeftRefusal(PeftConfigJson("All-Linear"), tensors) == "");
  AddFactors(tensors, "mlp.gate", 2, 4);
  CHECK_THAT(PeftRefusal(PeftConfigJson("all-linear"), tensors), Contains("change the routing"));
}

TEST_CASE("a name that stands for nothing is said, and refused where nothing else is changed") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj", "c_attn"}), QFactors());
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  REQUIRE((*source)->manifest().notes.size() == 1);
  CHECK_THAT((*source)->manifest().notes[0], Contains("\"c_attn\" stands for nothing"));
  CHECK_THAT(PeftRefusal(PeftConfigJson({"c_attn"}), {}), Contains("none matches"));
}

TEST_CASE("ranks and shapes must be those of the configuration and of the base") {
  Json config = PeftConfigJson({"q_proj"});
  config["r"] = 3;
  CHECK_THAT(PeftRefusal(config, QFactors()),
             Contains("q_proj.lora_A.weight: expected [3, 4], found [2, 4]"));
  config["rank_pattern"] = {{"q_proj", 2}};
  CHECK(PeftRefusal(config, QFactors()) == "");
  config["rank_pattern"] = {{"layers\\.\\d\\.self_attn\\.[qk]_proj", 2}};
  CHECK(PeftRefusal(config, QFactors()) == "");
  TestTensors wrong;
  AddFactors(wrong, "self_attn.q_proj", 8, 4);
  CHECK_THAT(PeftRefusal(PeftConfigJson({"q_proj"}), wrong), Contains("expected [4, 2], found [8, 2]"));
}

TEST_CASE("a server may cap the rank and insist on the base's name") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  Json config = PeftConfigJson({"q_proj"});
  config["base_model_name_or_path"] = "other/base";
  WritePeft(folder, config, QFactors());
  AdapterFolderOptions options;
  options.max_rank = 1;
  CHECK_THAT(Refusal(folder, *base, nullptr, options), Contains("expected at most 1 (max_rank), found 2"));
  options = {};
  options.required_base_name = "own/base";
  CHECK_THAT(Refusal(folder, *base, nullptr, options),
             Contains("base_model_name_or_path: expected \"own/base\", found \"other/base\""));
  options.required_base_name = "other/base";
  CHECK(Refusal(folder, *base, nullptr, options) == "");
}

TEST_CASE("layers_to_transform, exclude_modules and alpha 0") {
  Json config = PeftConfigJson({"q_proj", "k_proj"});
  config["layers_to_transform"] = {4};
  CHECK_THAT(PeftRefusal(config, QFactors()),
             Contains("layers_to_transform: expected layers from 0 to 0, found 4"));
  config["layers_to_transform"] = 0;
  config["exclude_modules"] = {"k_proj"};
  CHECK(PeftRefusal(config, QFactors()) == "");
  config["exclude_modules"] = ".*k_proj";
  CHECK(PeftRefusal(config, QFactors()) == "");
  config["target_modules"] = ".*q_proj";
  CHECK_THAT(PeftRefusal(config, QFactors()), Contains("layers_to_transform: expected null"));

  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  config = PeftConfigJson({"q_proj"});
  config["lora_alpha"] = 0;
  WritePeft(folder, config, QFactors());
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  CHECK((*source)->manifest().low_rank[0].scale == 0.0f);
  CHECK_THAT((*source)->manifest().notes[0], Contains("changes nothing"));
}

TEST_CASE("NaN and infinity are found when a tensor is read, with their place") {
  const TinyBase base = TinyBase::Olmoe();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    TestTensors tensors = QFactors();
    SetFloat(tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"], 6, bad);
    const TestFolder folder;
    WritePeft(folder, PeftConfigJson({"q_proj"}), tensors);
    const auto source = OpenAdapterFolder(folder.path(), *base);
    REQUIRE(source.ok());
    AdapterSource::Scratch a, b;
    const auto read = (*source)->ReadLowRank((*source)->manifest().low_rank[0], a, b);
    CHECK(read.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(read.status().message()), Contains("q_proj.lora_A.weight") && Contains("[1, 2]"));
  }
}

TEST_CASE("per-expert modules of 4.x: all experts are expected where their names are asked for") {
  TestTensors tensors;
  for (const char* expert : {"0", "1"}) {
    AddFactors(tensors, std::string("mlp.experts.") + expert + ".up_proj", 3, 4);
  }
  CHECK(PeftRefusal(PeftConfigJson({"up_proj"}), tensors) == "");
  TestTensors partial = tensors;
  partial.erase("base_model.model.model.layers.0.mlp.experts.1.up_proj.lora_A.weight");
  CHECK_THAT(PeftRefusal(PeftConfigJson({"up_proj"}), partial),
             Contains("experts.1.up_proj.lora_A.weight: expected [2, 4]"));
  // Experts that vanished altogether, as some tools lose them.
  CHECK_THAT(PeftRefusal(PeftConfigJson({"q_proj", "up_proj"}), QFactors()),
             Contains("experts.0.up_proj.lora_A.weight: expected [2, 4]"));
  TestTensors both = tensors;
  both["base_model.model.model.layers.0.mlp.experts.lora_A.weight"] = Counting({4, 3});
  CHECK_THAT(PeftRefusal(PeftConfigJson({"up_proj"}), both), Contains("found both"));
}

TEST_CASE("before 0.21 the last number of a name was the layer: the tensors tell") {
  TestTensors tensors;
  AddFactors(tensors, "mlp.experts.1.up_proj", 3, 4);
  Json config = PeftConfigJson({"up_proj"});
  config["layers_to_transform"] = {1};
  CHECK(PeftRefusal(config, tensors) == "");
  config["layers_pattern"] = "layers";
  CHECK_THAT(PeftRefusal(config, tensors),
             Contains("layers_to_transform: expected layers from 0 to 0, found 1"));
}

TEST_CASE("stacked experts: shapes of both conventions, both nestings, and what is wrong with others") {
  const std::string stack = "base_model.model.model.layers.0.mlp.experts.";
  Json config = PeftConfigJson(Json::array());
  config["target_parameters"] = {"down_proj"};
  // Two experts of rank 2: A (4, in), B (out, 4); down is (4, 3) of one expert.
  TestTensors now = {{stack + "lora_A.weight", Counting({4, 3})},
                     {stack + "lora_B.weight", Counting({4, 4})}};
  CHECK(PeftRefusal(config, now) == "");
  const TestTensors before = {{stack + "lora_A.weight", Counting({4, 4})},
                              {stack + "lora_B.weight", Counting({3, 4})}};
  CHECK(PeftRefusal(config, before) == "");
  TestTensors wrong = now;
  wrong[stack + "lora_B.weight"] = Counting({5, 4});
  CHECK_THAT(PeftRefusal(config, wrong),
             Contains("expected [4, 3] and [4, 4]") && Contains("found [4, 3] and [5, 4]"));
  TestTensors half = now;
  half.erase(stack + "lora_B.weight");
  CHECK_THAT(PeftRefusal(config, half), Contains("found one of them"));
  CHECK_THAT(PeftRefusal(config, {}), Contains("found neither"));

  config["target_parameters"] = {"mlp.experts.gate_up_proj", "experts.down_proj"};
  TestTensors nested = now;
  nested[stack + "base_layer.lora_A.weight"] = Counting({4, 4});
  nested[stack + "base_layer.lora_B.weight"] = Counting({6, 4});
  CHECK(PeftRefusal(config, nested) == "");
  TestTensors swapped = {{stack + "base_layer.lora_A.weight", now[stack + "lora_A.weight"]},
                         {stack + "base_layer.lora_B.weight", now[stack + "lora_B.weight"]},
                         {stack + "lora_A.weight", Counting({4, 4})},
                         {stack + "lora_B.weight", Counting({6, 4})}};
  CHECK(PeftRefusal(config, swapped) == "");
  // One parameter written now, the other one before.
  TestTensors mixed = before;
  mixed[stack + "base_layer.lora_A.weight"] = Counting({4, 4});
  mixed[stack + "base_layer.lora_B.weight"] = Counting({6, 4});
  CHECK_THAT(PeftRefusal(config, mixed), Contains("written by one release of PEFT"));

  config["use_dora"] = true;
  CHECK_THAT(PeftRefusal(config, nested), Contains("use_dora: expected false beside target_parameters"));
}

TEST_CASE("a square stacked parameter needs peft_version") {
  const auto base = GoldenBase("olmoe_f32");
  REQUIRE(base->spec().hidden != 2 * base->spec().expert_width);
  const std::string golden =
      std::string(GUILDHALL_SOURCE_DIR) + "/tests/goldens_adapters/lora_stacked_square/";
  const auto text = Json::parse(std::ifstream(golden + "case.json"));
  const auto square = GoldenBase(text["base"].get<std::string>());
  REQUIRE(square->spec().hidden == 2 * square->spec().expert_width);
  const TestFolder folder;
  std::filesystem::copy(golden + "adapter_a", folder.path(), std::filesystem::copy_options::recursive);
  Json config = Json::parse(std::ifstream(golden + "adapter_a/adapter_config.json"));
  REQUIRE(config["target_parameters"].size() == 1);
  CHECK(Refusal(folder, *square) == "");
  config.erase("peft_version");
  folder.Write("adapter_config.json", config);
  absl::StatusCode code;
  CHECK_THAT(Refusal(folder, *square, &code),
             Contains("peft_version: expected a version") && Contains("found nothing"));
  CHECK(code == absl::StatusCode::kFailedPrecondition);
  config["peft_version"] = "tomorrow";
  folder.Write("adapter_config.json", config);
  CHECK_THAT(Refusal(folder, *square), Contains("peft_version") && Contains("\"tomorrow\""));
}

TEST_CASE("saved copies of the embedding are compared with the base's") {
  TestTensors tensors;
  tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = Counting({2, 5}, 1);
  tensors["base_model.model.model.embed_tokens.lora_embedding_B"] = Counting({4, 2}, 1);
  TestTensor& copy = tensors["base_model.model.model.embed_tokens.base_layer.weight"];
  copy = Counting({5, 4}, 0);
  CHECK(PeftRefusal(PeftConfigJson({"embed_tokens"}), tensors) == "");
  SetFloat(copy, 9, 9.5f);
  CHECK_THAT(PeftRefusal(PeftConfigJson({"embed_tokens"}), tensors),
             Contains("expected the base's own numbers, found 9.5 instead of 9 in row 2"));
  copy = Counting({6, 4}, 0);
  CHECK_THAT(PeftRefusal(PeftConfigJson({"embed_tokens"}), tensors),
             Contains("expected [5, 4], found [6, 4]"));
}

TEST_CASE("DoRA: the gain brings each changed row to its length, and B carries it") {
  const TinyBase base = TinyBase::Llama();
  TestTensors tensors = QFactors();
  tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = Counting({4}, 3);
  Json config = PeftConfigJson({"q_proj"});
  CHECK_THAT(PeftRefusal(config, tensors), Contains("use_dora is false"));
  config["use_dora"] = true;
  const TestFolder folder;
  WritePeft(folder, config, tensors);
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  CHECK((*source)->manifest().kind == "dora");
  const LowRankChange& change = (*source)->manifest().low_rank[0];
  CHECK(change.dora);
  AdapterSource::Scratch a, b;
  const auto read = (*source)->ReadLowRank(change, a, b);
  REQUIRE(read.ok());
  // Row 1: W = 404..407, A = 1..8, B row = 103, 104, scale 2, magnitude 4.
  double square = 0;
  for (int i = 0; i < 4; ++i) {
    const double value = 404 + i + 2.0 * (103.0 * (1 + i) + 104.0 * (5 + i));
    square += value * value;
  }
  const double gain = 4 / std::sqrt(square);
  CHECK(read->gain[1] == Approx(gain).epsilon(1e-6));
  CHECK(LoadElement(read->b.data, read->b.dtype, 2) == Approx(103 * gain).epsilon(1e-6));

  tensors.erase("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector");
  WritePeft(folder, config, tensors);
  CHECK_THAT(Refusal(folder, *base), Contains("lora_magnitude_vector: expected [4]"));
}

}  // namespace guildhall
