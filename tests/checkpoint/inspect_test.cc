#include "checkpoint/inspect.h"

#include <catch2/catch.hpp>
#include <string>

#include "checkpoint/inspect_words.h"
#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

Inspection Good(const TestFolder& folder) {
  auto inspection = Inspect(folder.path());
  INFO(inspection.status().ToString());
  REQUIRE(inspection.ok());
  return *std::move(inspection);
}

TEST_CASE("inspect: a folder that is served, in numbers counted by hand") {
  const TestFolder folder;
  Json config = TinyOlmoeConfig();
  config["max_position_embeddings"] = 16;
  folder.Write("config.json", config);
  folder.Write("model.safetensors", SafetensorsBytes(TinyOlmoeTensors()));
  folder.Write("tokenizer.json", std::string("{}"));
  const Inspection in = Good(folder);
  CHECK(in.served);
  CHECK(in.parameters == 40 + 4 + 16 + 64 + 8 + 72);
  CHECK(in.active_parameters == in.parameters - 36);  // one of two experts
  CHECK(in.weight_bytes == in.parameters * 4);
  CHECK(in.expert_bytes == 36 * 4);
  CHECK(in.kv_bytes_per_token == 2 * 4 * 4);
  CHECK(in.bytes_per_token == (in.active_parameters - 20 + 4) * 4);  // one row of the embedding
  CHECK(in.tokenizer == "tokenizer.json");
  CHECK(in.bytes_by_dtype == std::map<std::string, int64_t>{{"F32", in.weight_bytes}});

  const std::string text = InspectText(in);
  CHECK_THAT(text,
             Contains("OlmoeForCausalLM (olmoe)") && Contains("served: yes") && Contains("16 positions"));
  CHECK_THAT(text, Contains("softmax over 2 experts, top 1, weights as they are"));
  const auto json = ParseJson(DumpJson(InspectJson(in)), "report");
  REQUIRE(json.ok());
  CHECK((*json)["served"] == true);
  CHECK((*json)["parameters"] == in.parameters);
  CHECK((*json)["active_parameters"] == in.active_parameters);
  CHECK((*json)["parts"].size() == in.parts.size());
  int64_t bytes = 0;
  for (const Json& part : (*json)["parts"]) bytes += part["bytes"].get<int64_t>();
  CHECK(bytes == in.weight_bytes);
}

TEST_CASE("inspect: a folder that is not served still says what it holds, and every reason") {
  const TestFolder folder;
  Json config = TinyOlmoeConfig();
  config["hidden_act"] = "gelu";
  config["new_key"] = 7;
  config["eos_token_id"] = 99;
  folder.Write("config.json", config);
  folder.Write("model.safetensors", SafetensorsBytes(TinyOlmoeTensors()));
  folder.Write("generation_config.json", Json{{"num_beams", 4}});
  const Inspection in = Good(folder);
  CHECK_FALSE(in.served);
  CHECK(in.problems.size() == 2);
  CHECK(in.parameters == 204);
  CHECK(in.tensors == 18);
  const std::string text = InspectText(in);
  CHECK_THAT(text, Contains("served: no, for 2 reasons:") && Contains("hidden_act") && Contains("new_key"));
  CHECK_THAT(text, Contains("num_beams: not honoured") && Contains("99 is outside the vocabulary"));
  CHECK_THAT(text, Contains("none: token ids only"));
}

TEST_CASE("inspect: weights that are missing are counted from config.json") {
  const TestFolder folder;
  folder.Write("config.json", TinyOlmoeConfig());
  const Inspection in = Good(folder);
  CHECK_FALSE(in.served);
  CHECK(in.parameters == 204);
  CHECK(in.weight_bytes == 204 * 2);  // bf16, where config.json declares nothing
  CHECK_THAT(InspectText(in), Contains("no weights found") && Contains("found neither"));
}

TEST_CASE("inspect: a family that is not served shows its files") {
  const TestFolder folder;
  Json config = TinyLlamaConfig();
  config["model_type"] = "falcon";
  config["architectures"] = {"FalconForCausalLM"};
  folder.Write("config.json", config);
  folder.Write("model.safetensors", SafetensorsBytes(TinyLlamaTensors()));
  const Inspection in = Good(folder);
  CHECK_FALSE(in.served);
  CHECK_FALSE(in.known_family);
  CHECK(in.parameters == 40 + 4 + 8 + 64 + 36);
  CHECK_THAT(InspectText(in),
             Contains("FalconForCausalLM (falcon)") && Contains("this architecture is not served"));
  CHECK(ParseJson(DumpJson(InspectJson(in)), "report").ok());
}

TEST_CASE("inspect: sizes that no memory holds are printed and overflow nothing") {
  const TestFolder folder;
  Json config = TinyOlmoeConfig();
  for (const char* key : {"hidden_size", "intermediate_size", "vocab_size"}) config[key] = 1 << 24;
  config["num_hidden_layers"] = 4096;
  config["num_experts"] = 65536;
  config["num_attention_heads"] = config["num_key_value_heads"] = 1024;
  config["max_position_embeddings"] = 1 << 30;
  folder.Write("config.json", config);
  const Inspection in = Good(folder);
  CHECK(in.parameters > 0);
  CHECK(in.weight_bytes > 0);
  CHECK(in.kv_bytes_per_token > 0);
  CHECK_THAT(InspectText(in), Contains("TiB"));
}

TEST_CASE("inspect: only a folder of which nothing can be said is an error") {
  const TestFolder folder;
  CHECK(Inspect(folder.path()).status().code() == absl::StatusCode::kNotFound);
  folder.Write("config.json", std::string("{"));
  CHECK(Inspect(folder.path()).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("inspect words: counts, routers") {
  CHECK(CountWords(999999) == "999999");
  CHECK(CountWords(1282017280) == "1.28 billion");
  GateSpec gate;
  CHECK(RouterWords(gate) == "none");
  gate = {.experts = 256,
          .k = 8,
          .activation = GateSpec::Activation::kSigmoid,
          .selection = GateSpec::Selection::kGroupLimitedTopK,
          .group_score = GateSpec::GroupScore::kSumOfTop2,
          .groups = 8,
          .groups_kept = 4,
          .selection_bias = true,
          .normalize = true,
          .scale = 2.5f};
  CHECK(RouterWords(gate) ==
        "sigmoid over 256 experts, a bias for the selection only, inside the best 4 of 8 groups (by the sum "
        "of their "
        "two best), top 8, weights divided by their sum, times 2.5");
}

}  // namespace
}  // namespace guildhall
