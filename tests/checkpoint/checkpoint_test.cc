// Whole folders: what is served, and what each fault says.
#include "checkpoint/checkpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <string>

#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

struct Opened {
  absl::Status status;
  std::unique_ptr<Checkpoint> checkpoint;
  std::string message() const { return std::string(status.message()); }
};

Opened Open(const TestFolder& folder, const CheckpointOptions& options = {}) {
  auto opened = Checkpoint::Open(folder.path(), options);
  if (!opened.ok()) return {opened.status(), nullptr};
  return {absl::OkStatus(), *std::move(opened)};
}

void WriteModel(const TestFolder& folder, const Json& config, const TestTensors& tensors) {
  folder.Write("config.json", config);
  folder.Write("model.safetensors", SafetensorsBytes(tensors));
}

// A tiny OLMoE folder after a change to its tensors.
Opened OpenOlmoe(const std::function<void(TestTensors&)>& change) {
  const TestFolder folder;
  TestTensors tensors = TinyOlmoeTensors();
  change(tensors);
  WriteModel(folder, TinyOlmoeConfig(), tensors);
  return Open(folder);
}

float First(const Checkpoint& checkpoint, const WeightKey& key) {
  const TensorView& view = checkpoint.Weight(key);
  return LoadElement(view.data, view.dtype, 0);
}

TEST_CASE("checkpoint: every weight is found under its purpose, with its shape") {
  const Opened opened = OpenOlmoe([](TestTensors&) {});
  INFO(opened.message());
  REQUIRE(opened.status.ok());
  const Checkpoint& c = *opened.checkpoint;
  CHECK(First(c, {WeightRole::kEmbedding}) == 0.0f);
  CHECK(First(c, {WeightRole::kHead}) == 200.0f);
  CHECK(First(c, {WeightRole::kRouter, 0}) == 500.0f);
  CHECK(First(c, {WeightRole::kExpertGate, 0, 0}) == 1000.0f);
  CHECK(First(c, {WeightRole::kExpertUp, 0, 1}) == 2100.0f);
  CHECK(First(c, {WeightRole::kExpertDown, 0, 1}) == 2200.0f);
  CHECK(c.Weight({WeightRole::kExpertDown, 0, 1}).shape == std::vector<int64_t>{4, 3});
  CHECK(c.WeightName({WeightRole::kExpertDown, 0, 1}) == "model.layers.0.mlp.experts.1.down_proj.weight");
  CHECK_FALSE(c.Has({WeightRole::kQBias, 0}));
  CHECK_FALSE(c.Has({WeightRole::kExpertGate, 0, 2}));
  CHECK(c.dtype({WeightRole::kQ, 0}) == DType::kF32);
  CHECK(c.spec().dtype == DType::kF32);  // config.json declares none
  CHECK(c.TotalBytes() == 4 * (5 * 4 * 2 + 4 + 4 * 4 + 4 * 16 + 8 + 6 * 12));

  std::vector<std::byte> scratch;
  const auto read = c.Read({WeightRole::kExpertUp, 0, 1}, scratch);
  REQUIRE(read.ok());
  CHECK(read->data == scratch.data());
  CHECK(std::memcmp(read->data, c.Weight({WeightRole::kExpertUp, 0, 1}).data, read->Bytes()) == 0);
}

TEST_CASE("checkpoint: a missing tensor is named with its shape, many are counted") {
  CHECK_THAT(OpenOlmoe([](TestTensors& t) { t.erase("model.layers.0.mlp.gate.weight"); }).message(),
             Contains("tensor model.layers.0.mlp.gate.weight: expected [2, 4], found no such tensor"));
  const Opened many = OpenOlmoe([](TestTensors& t) {
    std::erase_if(t, [](const auto& item) { return item.first.find("experts") != std::string::npos; });
  });
  CHECK(many.status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(many.message(),
             Contains("experts.0.gate_proj.weight") && Contains("and 3 more tensors are missing"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) { t.erase("lm_head.weight"); }).message(),
             Contains("lm_head.weight") && Contains("tie_word_embeddings is false"));
}

TEST_CASE("checkpoint: an extra tensor is named, many are counted") {
  CHECK_THAT(
      OpenOlmoe([](TestTensors& t) { t["model.layers.0.self_attn.q_proj.bias"] = Counting({4}); }).message(),
      Contains("tensor \"model.layers.0.self_attn.q_proj.bias\": expected no such tensor, found F32 [4]"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               for (int i = 2; i < 10; ++i) {
                 t["model.layers.0.mlp.experts." + std::to_string(i) + ".up_proj.weight"] = Counting({3, 4});
               }
             }).message(),
             Contains("and 5 more tensors take no part in this model"));
  CHECK_THAT(
      OpenOlmoe([](TestTensors& t) { t["model.layers.1.input_layernorm.weight"] = Counting({4}); }).message(),
      Contains("model.layers.1.input_layernorm.weight"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) { t[std::string(1000000, 'n')] = Counting({1}); }).message(),
             Contains("nnn") && Contains("no such tensor"));
}

TEST_CASE("checkpoint: a wrong shape says expected and found, equal sizes are not enough") {
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.layers.0.mlp.experts.1.up_proj.weight"] = Counting({4, 3});
             }).message(),
             Contains("tensor model.layers.0.mlp.experts.1.up_proj.weight: expected [3, 4], found [4, 3]"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.norm.weight"] = Counting({1, 4});
             }).message(),
             Contains("expected [4], found [1, 4]"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) { t["model.norm.weight"] = Counting({}); }).message(),
             Contains("expected [4], found []"));
}

TEST_CASE("checkpoint: float dtypes may be mixed, others are refused with the cure") {
  const Opened mixed = OpenOlmoe([](TestTensors& t) {
    t["model.norm.weight"] = {"BF16", {4}, std::string(8, '\x3f')};
    t["model.layers.0.mlp.experts.0.up_proj.weight"] = {"F16", {3, 4}, std::string(24, '\x3c')};
  });
  REQUIRE(mixed.status.ok());
  CHECK(mixed.checkpoint->dtype({WeightRole::kFinalNorm}) == DType::kBF16);
  CHECK(mixed.checkpoint->dtype({WeightRole::kExpertUp, 0, 0}) == DType::kF16);
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.norm.weight"] = {"F8_E4M3", {4}, "1234"};
             }).message(),
             Contains("model.norm.weight") && Contains("found F8_E4M3: convert the checkpoint to BF16"));
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.norm.weight"] = {"F64", {4}, std::string(32, ' ')};
             }).message(),
             Contains("expected dtype F32, BF16 or F16, found F64"));
}

TEST_CASE("checkpoint: rotary frequencies of old releases are harmless") {
  const Opened opened = OpenOlmoe([](TestTensors& t) {
    t["model.layers.0.self_attn.rotary_emb.inv_freq"] = Counting({1});
    t["model.rotary_emb.inv_freq"] = {"F64", {1}, "12345678"};
  });
  CHECK(opened.status.ok());
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.layers.1.self_attn.rotary_emb.inv_freq"] = Counting({1});
             }).message(),
             Contains("no such tensor"));
}

TEST_CASE("checkpoint: experts in stacked tensors are served as slices, gate rows first") {
  const Opened plain = OpenOlmoe([](TestTensors&) {});
  const Opened stacked = OpenOlmoe([](TestTensors& t) {
    const std::string block = "model.layers.0.mlp.experts.";
    TestTensor gate_up{"F32", {2, 6, 4}, ""}, down{"F32", {2, 4, 3}, ""};
    for (const std::string expert : {"0.", "1."}) {
      gate_up.bytes +=
          t[block + expert + "gate_proj.weight"].bytes + t[block + expert + "up_proj.weight"].bytes;
      down.bytes += t[block + expert + "down_proj.weight"].bytes;
      for (const char* part : {"gate", "up", "down"}) t.erase(block + expert + part + "_proj.weight");
    }
    t[block + "gate_up_proj"] = gate_up;
    t[block + "down_proj"] = down;
  });
  INFO(stacked.message());
  REQUIRE(stacked.status.ok());
  for (const WeightRole role : {WeightRole::kExpertGate, WeightRole::kExpertUp, WeightRole::kExpertDown}) {
    for (const int expert : {0, 1}) {
      const TensorView& a = plain.checkpoint->Weight({role, 0, expert});
      const TensorView& b = stacked.checkpoint->Weight({role, 0, expert});
      CHECK(a.shape == b.shape);
      CHECK(std::memcmp(a.data, b.data, a.Bytes()) == 0);
    }
  }
  CHECK(stacked.checkpoint->TotalBytes() == plain.checkpoint->TotalBytes());
  CHECK_THAT(OpenOlmoe([](TestTensors& t) {
               t["model.layers.0.mlp.experts.down_proj"] = Counting({2, 4, 3});
             }).message(),
             Contains("gate_up_proj: expected [2, 6, 4], found no such tensor"));
}

TEST_CASE("checkpoint: a bare decoder without the model. prefix is served") {
  const TestFolder folder;
  TestTensors bare;
  for (auto& [name, tensor] : TinyLlamaTensors())
    bare[name.starts_with("model.") ? name.substr(6) : name] = tensor;
  WriteModel(folder, TinyLlamaConfig(), bare);
  const Opened opened = Open(folder);
  INFO(opened.message());
  REQUIRE(opened.status.ok());
  CHECK(opened.checkpoint->WeightName({WeightRole::kQ, 0}) == "layers.0.self_attn.q_proj.weight");
}

TEST_CASE("checkpoint: tied embeddings with one tensor, two equal ones, and two that differ") {
  Json config = TinyLlamaConfig();
  config["tie_word_embeddings"] = true;
  const auto open = [&](const std::function<void(TestTensors&)>& change) {
    const TestFolder folder;
    TestTensors tensors = TinyLlamaTensors();
    change(tensors);
    WriteModel(folder, config, tensors);
    return Open(folder);
  };
  const Opened one = open([](TestTensors& t) { t.erase("lm_head.weight"); });
  REQUIRE(one.status.ok());
  CHECK_FALSE(one.checkpoint->Has({WeightRole::kHead}));
  const Opened equal = open([](TestTensors& t) { t["lm_head.weight"] = t["model.embed_tokens.weight"]; });
  REQUIRE(equal.status.ok());
  CHECK_FALSE(equal.checkpoint->Has({WeightRole::kHead}));
  const Opened head_only = open([](TestTensors& t) { t.erase("model.embed_tokens.weight"); });
  REQUIRE(head_only.status.ok());
  CHECK(First(*head_only.checkpoint, {WeightRole::kEmbedding}) == 200.0f);
  CHECK_THAT(open([](TestTensors&) {}).message(),
             Contains("tensor lm_head.weight: expected the same bytes as model.embed_tokens.weight"));
}

TEST_CASE("checkpoint: shards by their index") {
  const TestFolder folder;
  folder.Write("config.json", TinyLlamaConfig());
  TestTensors first = TinyLlamaTensors(), second;
  second["lm_head.weight"] = first.extract("lm_head.weight").mapped();
  Json map = Json::object();
  for (const auto& [name, tensor] : first) map[name] = "model-00001-of-00002.safetensors";
  map["lm_head.weight"] = "model-00002-of-00002.safetensors";
  const auto write = [&](const TestTensors& a, const TestTensors& b, const Json& weight_map) {
    folder.Write("model-00001-of-00002.safetensors", SafetensorsBytes(a));
    folder.Write("model-00002-of-00002.safetensors", SafetensorsBytes(b));
    folder.Write("model.safetensors.index.json",
                 Json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}});
  };
  const auto with = [&](const std::string& name, const Json& shard) {
    Json changed = map;
    changed[name] = shard;
    return changed;
  };
  write(first, second, map);
  Opened opened = Open(folder);
  INFO(opened.message());
  CHECK(opened.status.ok());

  SECTION("a tensor in both shards") {
    TestTensors twice = first;
    twice["lm_head.weight"] = Counting({5, 4});
    write(twice, second, map);
    CHECK_THAT(Open(folder).message(), Contains("\"lm_head.weight\" is in two files"));
  }
  SECTION("a tensor in another shard than the index says") {
    write(first, second, with("lm_head.weight", "model-00001-of-00002.safetensors"));
    CHECK_THAT(Open(folder).message(), Contains("\"lm_head.weight\""));
    write(first, second, with("model.norm.weight", "model-00002-of-00002.safetensors"));
    CHECK_THAT(Open(folder).message(),
               Contains("\"model.norm.weight\": expected in model-00002-of-00002.safetensors, found ") &&
                   Contains("model-00001-of-00002.safetensors"));
  }
  SECTION("a tensor that the index does not name") {
    Json less = map;
    less.erase("model.norm.weight");
    write(first, second, less);
    CHECK_THAT(Open(folder).message(),
               Contains("\"model.norm.weight\" is not in model.safetensors.index.json"));
  }
  SECTION("a shard that is missing") {
    std::filesystem::remove(folder.Path("model-00002-of-00002.safetensors"));
    opened = Open(folder);
    CHECK(opened.status.code() == absl::StatusCode::kNotFound);
    CHECK_THAT(opened.message(), Contains("model-00002-of-00002.safetensors: cannot open"));
  }
  SECTION("names that leave the folder") {
    for (const Json& shard :
         {Json("../model.safetensors"), Json("/etc/passwd"), Json("sub/x.safetensors"), Json(".."), Json(""),
          Json("x.bin"), Json(std::string("a\0.safetensors", 14)), Json(7), Json("..\\x.safetensors"),
          Json(std::string(4096, 'a') + ".safetensors")}) {
      INFO(DumpJson(shard));
      write(first, second, with("lm_head.weight", shard));
      CHECK_THAT(Open(folder).message(),
                 Contains("\"lm_head.weight\": expected the name of a .safetensors file in the folder"));
    }
    // A name that is merely strange stays in the folder.
    write(first, second, with("lm_head.weight", "%2e%2e.safetensors"));
    CHECK_THAT(Open(folder).message(), Contains("%2e%2e.safetensors: cannot open"));
  }
  SECTION("an index that is no index") {
    for (const char* text : {"", "[]", "{}", "{\"weight_map\": 3}", "{\"weight_map\": {}}",
                             "{\"weight_map\": {\"a\": \"x.safetensors\", \"a\": \"x.safetensors\"}}"}) {
      folder.Write("model.safetensors.index.json", std::string(text));
      opened = Open(folder);
      CHECK(opened.status.code() == absl::StatusCode::kInvalidArgument);
      CHECK_THAT(opened.message(), Contains("model.safetensors.index.json"));
    }
  }
  SECTION("links into a hub cache are files like others, a FIFO is not") {
    std::filesystem::create_directory(folder.Path("blobs"));
    std::filesystem::rename(folder.Path("model-00002-of-00002.safetensors"), folder.Path("blobs/0123abcd"));
    std::filesystem::create_symlink("blobs/0123abcd", folder.Path("model-00002-of-00002.safetensors"));
    CHECK(Open(folder).status.ok());
    std::filesystem::remove(folder.Path("model-00002-of-00002.safetensors"));
    REQUIRE(mkfifo(folder.Path("model-00002-of-00002.safetensors").c_str(), 0600) == 0);
    CHECK_THAT(Open(folder).message(), Contains("expected a regular file, found a FIFO"));
    std::filesystem::remove(folder.Path("model-00002-of-00002.safetensors"));
    std::filesystem::create_symlink("model-00002-of-00002.safetensors",
                                    folder.Path("model-00002-of-00002.safetensors"));
    CHECK_FALSE(Open(folder).status.ok());
  }
}

TEST_CASE("checkpoint: folders without what it takes say what was expected and found") {
  CHECK(Checkpoint::Open("/nowhere/at/all").status().code() == absl::StatusCode::kNotFound);
  const TestFolder folder;
  CHECK(Open(folder).status.code() == absl::StatusCode::kNotFound);
  CHECK_THAT(Open(folder).message(), Contains("config.json: cannot open"));
  folder.Write("config.json", TinyLlamaConfig());
  CHECK(Open(folder).status.code() == absl::StatusCode::kNotFound);
  CHECK_THAT(Open(folder).message(),
             Contains("expected model.safetensors or model.safetensors.index.json, found neither"));
  folder.Write("pytorch_model.bin", std::string("x"));
  CHECK_THAT(Open(folder).message(), Contains("convert the checkpoint to safetensors"));
  CHECK(Checkpoint::Open(folder.Path("config.json")).status().code() == absl::StatusCode::kNotFound);
  folder.Write("model.safetensors", std::string("not tensors"));
  CHECK(Open(folder).status.code() == absl::StatusCode::kInvalidArgument);
  folder.Write("config.json", std::string("{\"a\":1,\"a\":2}"));
  CHECK_THAT(Open(folder).message(), Contains("config.json: line 1") && Contains("duplicate key \"a\""));
}

TEST_CASE("checkpoint: sizes that config.json merely states cost neither time nor memory") {
  const TestFolder folder;
  Json config = TinyOlmoeConfig();
  config["num_hidden_layers"] = 4096;
  config["num_experts"] = 65536;
  config["vocab_size"] = 1 << 24;
  WriteModel(folder, config, TinyOlmoeTensors());
  const Opened opened = Open(folder);
  CHECK(opened.status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(opened.message(), Contains("model.embed_tokens.weight: expected [16777216, 4], found [5, 4]"));
}

TEST_CASE("checkpoint: a file that is cut or written to after opening is DATA_LOSS that names the tensor") {
  const TestFolder folder;
  WriteModel(folder, TinyLlamaConfig(), TinyLlamaTensors());
  const Opened opened = Open(folder);
  REQUIRE(opened.status.ok());
  CHECK(opened.checkpoint->CheckUnchanged().ok());
  REQUIRE(truncate(folder.Path("model.safetensors").c_str(), 100) == 0);
  std::vector<std::byte> scratch;
  const absl::Status status = opened.checkpoint->Read({WeightRole::kQ, 0}, scratch).status();
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(status.message()),
             Contains("tensor model.layers.0.self_attn.q_proj.weight") && Contains("cut short"));
  CHECK(opened.checkpoint->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("checkpoint: generation_config.json says where texts end, before config.json") {
  const TestFolder folder;
  Json config = TinyLlamaConfig();
  config["eos_token_id"] = 1;
  WriteModel(folder, config, TinyLlamaTensors());
  CHECK(Open(folder).checkpoint->spec().eos_tokens == std::vector<int32_t>{1});
  folder.Write("generation_config.json", Json{{"eos_token_id", {3, 4}},
                                              {"bos_token_id", 2},
                                              {"do_sample", true},
                                              {"temperature", 0.6},
                                              {"top_k", 20}});
  const Opened opened = Open(folder);
  REQUIRE(opened.status.ok());
  CHECK(opened.checkpoint->spec().eos_tokens == std::vector<int32_t>{3, 4});
  CHECK(opened.checkpoint->spec().bos_token == 2);
  CHECK(opened.checkpoint->generation().do_sample == true);
  CHECK(opened.checkpoint->generation().temperature == 0.6);
  CHECK(opened.checkpoint->generation().top_k == 20);
  CHECK_FALSE(opened.checkpoint->generation().top_p);
  folder.Write("generation_config.json", Json{{"temperature", "hot"}});
  CHECK_THAT(Open(folder).message(), Contains("generation_config.json: temperature: expected a number"));
}

}  // namespace
}  // namespace guildhall
