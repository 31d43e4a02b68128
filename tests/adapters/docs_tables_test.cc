// The tables of docs/adapters.md: each row is shown to be true, and there is no row without its proof.
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/adapters/adapter_builder.h"
#include "tests/support/markdown_table.h"
#include "weights/compatibility.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Rows = std::map<std::string, std::function<void()>>;

const std::string kGoldens = GUILDHALL_SOURCE_DIR "/tests/goldens_adapters/";

void CheckRows(const std::string& heading, const Rows& rows) {
  const std::vector<std::string> written =
      FirstCells(std::string(GUILDHALL_SOURCE_DIR) + "/docs/adapters.md", heading);
  CHECK(written.size() == rows.size());
  for (const std::string& row : written) {
    INFO("docs/adapters.md: " << row);
    REQUIRE(rows.contains(row));
    rows.at(row)();
  }
}

Json With(Json config, const std::string& key, const Json& value) {
  config[key] = value;
  return config;
}

// Opens an adapter of a golden on its base.
AdapterManifest Golden(const std::string& name, const std::string& adapter = "adapter_a") {
  const Json json = Json::parse(std::ifstream(kGoldens + name + "/case.json"));
  const auto base = GoldenBase(json["base"].get<std::string>());
  const auto source = OpenAdapterFolder(kGoldens + name + "/" + adapter, *base);
  INFO(name << ": " << source.status());
  REQUIRE(source.ok());
  return (*source)->manifest();
}

bool Served(const Json& config, const TestTensors& tensors) {
  const std::string refusal = PeftRefusal(config, tensors);
  INFO(refusal);
  CHECK(refusal.empty());
  return refusal.empty();
}

void Refused(const Json& config, const TestTensors& tensors, const std::string& why) {
  const std::string refusal = PeftRefusal(config, tensors);
  CHECK_THAT(refusal, Contains(why));
}

void RefusedKey(const std::string& key, const Json& value) {
  INFO(key);
  Refused(With(PeftConfigJson({"q_proj"}), key, value), QFactors(), key + ": expected");
}

const std::string kQ = "base_model.model.model.layers.0.self_attn.q_proj.";

TestTensors MagnitudeFactors() {
  TestTensors tensors = QFactors();
  tensors[kQ + "lora_magnitude_vector"] = Counting({4}, 3);
  return tensors;
}

// What stands in the place of a file of an adapter.
std::string RefusalWith(const std::string& name, const std::string& text) {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  folder.Write(name, text);
  return Refusal(folder, *base);
}

void CheckStandIns() {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 123\n";
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    CHECK_THAT(RefusalWith(name, pointer), Contains("Git LFS pointer") && Contains("123 bytes"));
    CHECK_THAT(RefusalWith(name, "<html></html>"), Contains("web page"));
    CHECK_THAT(RefusalWith(name, ""), Contains("empty"));
    for (const char* ending : {".incomplete", ".part"}) {
      const TinyBase base = TinyBase::Olmoe();
      const TestFolder folder;
      WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
      fs::rename(folder.Path(name), folder.Path(std::string(name) + ending));
      CHECK_THAT(Refusal(folder, *base), Contains("the download was not completed"));
    }
  }
}

void CheckChangingFiles() {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  fs::resize_file(folder.Path("adapter_model.safetensors"), 20);
  CHECK((*source)->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
}

void CheckNotFinite() {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  TestTensors tensors = QFactors();
  const float infinity = std::numeric_limits<float>::infinity();
  std::memcpy(tensors.begin()->second.bytes.data(), &infinity, sizeof(infinity));
  WritePeft(folder, PeftConfigJson({"q_proj"}), tensors);
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  AdapterSource::Scratch a, b;
  const auto read = (*source)->ReadLowRank((*source)->manifest().low_rank[0], a, b);
  CHECK_THAT(std::string(read.status().message()), Contains("q_proj.lora_A.weight") && Contains("[0, 0]"));
}

// DoRA in company.
void CheckTogetherRules() {
  AdapterManifest dora, replacing;
  dora.low_rank.push_back(
      {.key = {WeightRole::kExpertUp, 0, 1}, .module = "m", .rank = 2, .in = 4, .out = 3, .dora = true});
  AdapterManifest lora = dora;
  lora.low_rank[0].dora = false;
  replacing.replaced.push_back({.layer = 0, .expert = 1});
  const AdapterChanges d = ChangesOf(dora), l = ChangesOf(lora), r = ChangesOf(replacing);
  const std::vector<ChosenAdapter> alone{{"d", 1.0f, &d}}, factor{{"d", 0.5f, &d}},
      module{{"d", 1.0f, &d}, {"l", 1.0f, &l}}, expert{{"d", 1.0f, &d}, {"r", 1.0f, &r}};
  CHECK(CheckTogether(alone).ok());
  for (const auto& clash : {factor, module, expert}) {
    CHECK(CheckTogether(clash).code() == absl::StatusCode::kInvalidArgument);
  }
}

Rows ServedRows() {
  return {
      {"`target_modules` as a list",
       [] {
         for (const char* name : {"q_proj", "self_attn.q_proj", "model.layers.0.self_attn.q_proj"})
           Served(PeftConfigJson({name}), QFactors());
       }},
      {"`target_modules` as a regular expression",
       [] { Served(PeftConfigJson(".*(q_proj|gate|norm)"), QFactors()); }},
      {"`target_modules=\"all-linear\"` without the router",
       [] {
         const Json line = With(PeftConfigJson("all-linear"), "exclude_modules", {"gate"});
         Served(line, AllLinearFactors());
         TestTensors with_router = AllLinearFactors();
         AddFactors(with_router, "mlp.gate", 2, 4);
         for (const Json& config : {PeftConfigJson("all-linear"), line})
           Refused(config, with_router, "exclude_modules=[\"gate\"] leaves it out");
       }},
      {"`exclude_modules`, `layers_to_transform`",
       [] {
         Served(With(PeftConfigJson({"q_proj", "k_proj"}), "exclude_modules", {"k_proj"}), QFactors());
         Served(With(PeftConfigJson({"q_proj"}), "layers_to_transform", 0), QFactors());
       }},
      {"`rank_pattern`, `alpha_pattern`, `use_rslora`",
       [] {
         Json config = With(With(PeftConfigJson({"q_proj"}), "r", 7), "rank_pattern", {{"q_proj", 2}});
         Served(With(config, "alpha_pattern", {{"q_proj", 3}}), QFactors());
         Served(With(config, "use_rslora", true), QFactors());
       }},
      {"`use_dora`", [] { Served(With(PeftConfigJson({"q_proj"}), "use_dora", true), MagnitudeFactors()); }},
      {"latent attention",
       [] {
         bool kv_b = false;
         for (const LowRankChange& change : Golden("lora_latent_v2", "adapter_b").low_rank)
           kv_b = kv_b || change.module.find("kv_b_proj") != std::string::npos;
         CHECK(kv_b);
       }},
      {"per-expert modules", [] { CHECK_FALSE(Golden("lora_per_expert_olmoe").low_rank.empty()); }},
      {"stacked experts",
       [] {
         for (const char* name : {"lora_stacked_olmoe", "lora_stacked_old", "lora_stacked_square"})
           CHECK_FALSE(Golden(name).low_rank.empty());
       }},
      {"embedding and head", [] { CHECK_FALSE(Golden("lora_embedding_qwen2").low_rank.empty()); }},
      {"keys that begin with an underscore, null and false",
       [] {
         Json config = With(With(PeftConfigJson({"q_proj"}), "_my_tool", 1), "of_tomorrow", nullptr);
         Served(With(config, "another", false), QFactors());
         const TinyBase base = TinyBase::Olmoe();
         const TestFolder folder;
         WritePeft(folder, With(config, "new_key", 3), QFactors());
         AdapterFolderOptions options;
         CHECK_THAT(Refusal(folder, *base, nullptr, options),
                    Contains("list it in adapters.ignore_config_keys"));
         options.ignore_config_keys = {"new_key"};
         CHECK(Refusal(folder, *base, nullptr, options).empty());
       }},
  };
}

Rows RefusedRows() {
  return {
      {"a tensor that nothing asks for, or a module without its tensors",
       [] {
         TestTensors extra = QFactors();
         AddFactors(extra, "self_attn.k_proj", 4, 4);
         Refused(PeftConfigJson({"q_proj"}), extra, "k_proj.lora_A.weight");
         Refused(PeftConfigJson({"q_proj", "k_proj"}), QFactors(), "k_proj.lora_A.weight: expected [2, 4]");
       }},
      {"shapes that are not the base's",
       [] {
         TestTensors wrong;
         AddFactors(wrong, "self_attn.q_proj", 8, 4);
         Refused(PeftConfigJson({"q_proj"}), wrong, "expected [4, 2], found [8, 2]");
       }},
      {"NaN or infinity", CheckNotFinite},
      {"the router (`gate`, `mlp.gate`)",
       [] {
         TestTensors tensors = QFactors();
         AddFactors(tensors, "mlp.gate", 2, 4);
         for (const char* name : {"gate", "mlp.gate"})
           Refused(PeftConfigJson({"q_proj", name}), tensors, "experts.gate_up_proj");
       }},
      {"norms, biases (`bias`, `lora_bias`), `modules_to_save`, `trainable_token_indices`",
       [] {
         Refused(PeftConfigJson({"q_proj", "input_layernorm"}), QFactors(), "a norm");
         RefusedKey("bias", "all");
         RefusedKey("lora_bias", true);
         RefusedKey("modules_to_save", {"lm_head"});
         RefusedKey("trainable_token_indices", {1});
       }},
      {"`fan_in_fan_out`, `layer_replication`, `use_qalora`, aLoRA, other `peft_type`s",
       [] {
         RefusedKey("fan_in_fan_out", true);
         RefusedKey("layer_replication", Json::array({{0, 1}}));
         RefusedKey("use_qalora", true);
         RefusedKey("alora_invocation_tokens", {1});
         RefusedKey("peft_type", "IA3");
       }},
      {"keys that are not known", [] { RefusedKey("of_tomorrow", 1); }},
      {"`init_lora_weights` pissa, olora, corda",
       [] {
         for (const char* name : {"pissa", "olora", "corda"}) RefusedKey("init_lora_weights", name);
       }},
      {"DoRA on stacked experts",
       [] {
         Json config = With(PeftConfigJson(Json::array()), "target_parameters", {"down_proj"});
         Refused(With(config, "use_dora", true), {}, "use_dora: expected false beside target_parameters");
       }},
      {"in one task: DoRA with a factor other than 1, on a module that another of its adapters changes too, "
       "or on an "
       "expert that another one replaces",
       CheckTogetherRules},
      {"a square stacked parameter without `peft_version`",
       [] {
         const Json json = Json::parse(std::ifstream(kGoldens + "lora_stacked_square/case.json"));
         const auto base = GoldenBase(json["base"].get<std::string>());
         const TestFolder folder;
         fs::copy(kGoldens + "lora_stacked_square/adapter_a", folder.path(), fs::copy_options::recursive);
         Json config = Json::parse(std::ifstream(folder.Path("adapter_config.json")));
         config.erase("peft_version");
         folder.Write("adapter_config.json", config);
         CHECK_THAT(Refusal(folder, *base), Contains("peft_version: expected a version"));
       }},
      {"Python-only regular expressions (look-behind, named groups, flags)",
       [] {
         for (const char* pattern : {"(?<=a)q_proj", "(?P<x>q_proj)", "(?i)Q_PROJ"})
           CHECK_FALSE(PeftRefusal(PeftConfigJson(pattern), QFactors()).empty());
       }},
      {"files that are cut or written to while they are read, FIFOs, links out of the roots",
       CheckChangingFiles},
      {"a Git LFS pointer, a web page, an empty file, a `.incomplete` or `.part` in the place of a file",
       CheckStandIns},
  };
}

}  // namespace

TEST_CASE("docs: each kind of adapter that the page lists is served") {
  CheckRows("kind", {{"`esft`", [] { CHECK(Golden("esft_olmoe").kind == "esft"); }},
                     {"`lora`", [] { CHECK(Golden("lora_llama").kind == "lora"); }},
                     {"`dora`", [] { CHECK(Golden("dora_llama").kind == "dora"); }}});
}

TEST_CASE("docs: what the page says is served of PEFT is served") {
  CheckRows("served", ServedRows());
}

TEST_CASE("docs: what the page says is refused is refused, for the reason that it gives") {
  CheckRows("refused", RefusedRows());
}

}  // namespace guildhall
