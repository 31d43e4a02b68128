// Adapters through the binary, as users bring them: score against the oracles, inspect, the choice of
// experts.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "base/mapped_file.h"
#include "checkpoint/safetensors.h"
#include "tests/e2e/process.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

const std::string kModel = std::string(GUILDHALL_SOURCE_DIR) + "/demo/model";

Json MustParse(const std::string& text, const std::string& what) {
  auto json = ParseJson(text, what);
  REQUIRE(json.ok());
  return *std::move(json);
}

}  // namespace

TEST_CASE("score serves every adapter kind as merged models and PEFT do, in one mixed batch", "[cpu]") {
  for (const std::string& name : AdapterGoldenNames()) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    INFO(name);
    const TempFolder folder;
    Json sequences = Json::array();
    for (const AdapterGolden::Sequence& sequence : golden.sequences) {
      Json item{{"tokens", sequence.tokens}};
      const bool plain = sequence.adapters.size() == 1 && sequence.adapters[0].scale == 1.0f;
      if (plain) item["task"] = sequence.adapters[0].name;
      for (const AdapterGolden::Use& use : sequence.adapters) {
        if (!plain) item["adapters"].push_back({{"name", use.name}, {"scale", use.scale}});
      }
      sequences.push_back(std::move(item));
    }
    const std::string file = folder.path() + "/tokens.json";
    std::ofstream(file) << DumpJson(sequences);
    std::vector<std::string> arguments{
        "score", "--model",      LoadGolden(golden.base).directory, "--tokens-file",
        file,    "--logits-dir", folder.path() + "/logits"};
    for (const AdapterGolden::Adapter& adapter : golden.adapters) {
      arguments.insert(arguments.end(), {"--adapter", adapter.name + "=" + adapter.directory});
    }
    const Finished scored = RunCommand(arguments);
    INFO(scored.err);
    REQUIRE(scored.exit_code == 0);
    const bool bf16 = golden.base.find("bf16") != std::string::npos;
    for (size_t i = 0; i < golden.sequences.size(); ++i) {
      INFO("sequence " << i);
      const NpyArray found = ReadNpy(folder.path() + "/logits/" + std::to_string(i) + ".npy");
      const NpyArray& expected = golden.sequences[i].logits;
      REQUIRE(found.shape == expected.shape);
      double worst = 0.0;
      for (size_t j = 0; j < found.values.size(); ++j) {
        worst = std::max(worst, std::fabs(double{found.values[j]} - double{expected.values[j]}) /
                                    (1.0 + std::fabs(double{expected.values[j]})));
      }
      CHECK(worst <= (bf16 ? 0.15 : 2e-4));
    }
  }
}

TEST_CASE("adapters inspect says what a folder changes, or why a base cannot serve it", "[cpu]") {
  const AdapterGolden golden = LoadAdapterGolden("mixed_olmoe");
  const std::string base = LoadGolden(golden.base).directory;
  for (const AdapterGolden::Adapter& adapter : golden.adapters) {
    const Finished text = RunCommand({"adapters", "inspect", adapter.directory, "--model", base});
    INFO(text.err);
    CHECK(text.exit_code == 0);
    CHECK(text.out.find("kind:      " + adapter.kind) != std::string::npos);
    const Finished json = RunCommand({"adapters", "inspect", adapter.directory, "--model", base, "--json"});
    CHECK(MustParse(json.out, "inspect")["kind"] == adapter.kind);
  }
  const Finished wrong = RunCommand({"adapters", "inspect", golden.adapters[0].directory, "--model", kModel});
  CHECK(wrong.exit_code == 2);
  CHECK(wrong.err.find("expected") != std::string::npos);
}

TEST_CASE("the operator's word on a key of an adapter's configuration reaches every command", "[cpu]") {
  const AdapterGolden golden = LoadAdapterGolden("mixed_olmoe");
  const std::string base = LoadGolden(golden.base).directory;
  const TempFolder folder;
  const std::string adapter = folder / "adapter", tokens = folder / "tokens.json";
  for (const AdapterGolden::Adapter& made : golden.adapters) {
    if (made.kind != "lora") continue;
    std::filesystem::copy(made.directory, adapter);
    break;
  }
  std::ifstream file(adapter + "/adapter_config.json");
  Json config = MustParse(std::string(std::istreambuf_iterator<char>(file), {}), "adapter_config.json");
  config["not_known"] = 3;
  std::ofstream(adapter + "/adapter_config.json") << DumpJson(config);
  std::ofstream(tokens) << R"([{"task": "x", "tokens": [1, 2, 3]}])";
  const std::vector<std::vector<std::string>> commands{
      {"score", "--model", base, "--tokens-file", tokens, "--adapter", "x=" + adapter},
      {"adapters", "inspect", adapter, "--model", base}};
  for (std::vector<std::string> command : commands) {
    CHECK_THAT(RunCommand(command).err, Catch::Contains("not_known"));
    command.insert(command.end(), {"--ignore-config-key", "not_known"});
    const Finished waived = RunCommand(command);
    INFO(waived.err);
    CHECK(waived.exit_code == 0);
    CHECK_THAT(waived.out, !Catch::Contains("ignore_config_keys"));
  }
  CHECK_THAT(RunCommand({"adapters", "inspect", adapter, "--model", base, "--ignore-config-key", "not_known",
                         "--ignore-config-key", "nowhere"})
                 .out,
             Catch::Contains("note:      ignore_config_keys: \"nowhere\": neither configuration needs it"));
}

TEST_CASE("adapters diff turns a tuned checkpoint into a folder that serves it", "[cpu]") {
  const TempFolder folder;
  const std::string base = LoadGolden("olmoe_f32").directory, out = folder.path() + "/out";
  const Finished same = RunCommand({"adapters", "diff", base, base, out});
  CHECK(same.exit_code == 2);
  const Finished other = RunCommand({"adapters", "diff", base, kModel, out});
  CHECK(other.exit_code == 2);
  CHECK_FALSE(other.err.empty());

  // One bit of one expert.
  const std::string tuned = folder.path() + "/tuned";
  std::filesystem::copy(base, tuned);
  auto file = SafetensorsFile::Open(tuned + "/model.safetensors");
  REQUIRE(file.ok());
  const SafetensorsEntry* entry = (*file)->Find("model.layers.1.mlp.experts.6.up_proj.weight");
  REQUIRE(entry != nullptr);
  std::fstream stream(tuned + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  const auto place = static_cast<std::streamoff>((*file)->header().buffer_offset + entry->begin);
  stream.seekg(place);
  const int byte = stream.get();
  stream.seekp(place);
  stream.put(static_cast<char>(byte ^ 1));
  stream.close();
  const Finished diff = RunCommand({"adapters", "diff", base, tuned, out, "--json"});
  INFO(diff.err);
  REQUIRE(diff.exit_code == 0);
  CHECK(MustParse(diff.out, "diff")["experts"] == Json{{"1", {6}}});
  const Finished inspected = RunCommand({"adapters", "inspect", out, "--model", base, "--json"});
  REQUIRE(inspected.exit_code == 0);
  CHECK(MustParse(inspected.out, "inspect")["replaced"].size() == 1);
}

TEST_CASE("experts stats chooses experts, writes their configuration and draws them", "[cpu]") {
  const TempFolder folder;
  const std::string text = folder.path() + "/text.txt", config = folder.path() + "/expert_cfg.json",
                    svg = folder.path() + "/map.svg";
  std::ofstream(text) << "select the names of all users\nI see a red bird.\n\n";
  const Finished stats = RunCommand({"experts", "stats", "--model", kModel, "--task", "a <task>", "--text",
                                     text, "--p", "0.3", "--config", config, "--svg", svg, "--json"});
  INFO(stats.err);
  REQUIRE(stats.exit_code == 0);
  const Json report = MustParse(stats.out, "stats");
  const Json written = MustParse(*ReadSmallFile(config, 1 << 20), "config");
  CHECK(written["shared_experts"] == false);
  CHECK(written["non_expert_modules"] == false);
  REQUIRE(report["layers"].size() == written["experts"].size());
  for (const Json& layer : report["layers"]) {
    CHECK(layer["chosen"] == written["experts"][std::to_string(layer["layer"].get<int>())]);
    double sum = 0.0, covered = 0.0;
    for (const double share : layer["token"].get<std::vector<double>>()) sum += share;
    for (const size_t expert : layer["chosen"].get<std::vector<size_t>>())
      covered += layer["token"][expert].get<double>();
    CHECK(sum == Approx(1.0));
    CHECK(covered >= 0.3);
  }
  const std::string picture = *ReadSmallFile(svg, 1 << 20);
  CHECK(picture.find("a &lt;task&gt;") != std::string::npos);
  CHECK(picture.find("layer 4, expert 15") != std::string::npos);
}

}  // namespace guildhall
