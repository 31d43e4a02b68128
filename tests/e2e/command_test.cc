// The other subcommands of the binary, as their users call them.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>

#include "base/json.h"
#include "tests/e2e/process.h"
#include "tests/support/golden.h"

namespace guildhall {

TEST_CASE("score gives transformers' logits and log-probabilities for every family", "[cpu]") {
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    INFO(name);
    const TempFolder folder;
    Json sequences = Json::array();
    for (size_t i = 0; i < golden.sequences.size(); ++i) {
      const auto& tokens = golden.sequences[i].tokens;
      sequences.push_back(i % 2 == 0 ? Json(tokens) : Json{{"tokens", tokens}});
    }
    const std::string file = folder.path() + "/tokens.json";
    std::ofstream(file) << DumpJson(sequences);
    const Finished scored = RunCommand({"score", "--model", golden.directory, "--tokens-file", file,
                                        "--logits-dir", folder.path() + "/logits", "--context",
                                        "256"});  // dynamic rope: beyond its config's limit
    INFO(scored.err);
    REQUIRE(scored.exit_code == 0);
    for (size_t i = 0; i < golden.sequences.size(); ++i) {
      const NpyArray found = ReadNpy(folder.path() + "/logits/" + std::to_string(i) + ".npy");
      const NpyArray& expected = golden.sequences[i].logits;
      REQUIRE(found.shape == expected.shape);
      double worst = 0.0;
      for (size_t j = 0; j < found.values.size(); ++j) {
        worst = std::max(worst, std::fabs(double{found.values[j]} - double{expected.values[j]}) /
                                    (1.0 + std::fabs(double{expected.values[j]})));
      }
      // bf16: products of AVX-512 round their inputs, and the KV cache is bf16 (tests/model has it by level).
      CHECK(worst <= (golden.bf16 ? 0.15 : golden.f16 ? 0.01 : 1e-4));
    }
  }
}

TEST_CASE("inspect says what a folder is, as text and as JSON", "[cpu]") {
  const std::string model = std::string(GUILDHALL_SOURCE_DIR) + "/demo/model";
  const Finished text = RunCommand({"inspect", model});
  CHECK(text.exit_code == 0);
  CHECK(text.out.find("DeepseekV2ForCausalLM") != std::string::npos);
  // The folder first, what this machine makes of it behind that, the verdict last.
  CHECK(text.out.starts_with("folder            " + model));
  CHECK(text.out.find("\ndevice            cpu ") > text.out.find("\ntokenizer "));
  CHECK(text.out.find("\ndevice            cpu ") < text.out.find("\nnot checked "));
  CHECK(text.out.ends_with("\nserved: yes\n"));
  CHECK(text.out.find(" available (") != std::string::npos);
  const Finished json = RunCommand({"inspect", model, "--json"});
  CHECK(json.exit_code == 0);
  const auto report = ParseJson(json.out, "inspect");
  REQUIRE(report.ok());
  CHECK((*report)["device"].get<std::string>().starts_with("cpu "));
  const Finished cuda = RunCommand({"inspect", model, "--device", "cuda:1x"});
  CHECK(cuda.exit_code != 0);
  CHECK(cuda.err.find("found \"cuda:1x\"") != std::string::npos);
}

TEST_CASE("quality measures what formats of the weights cost, group by group", "[cpu]") {
  const std::string demo = std::string(GUILDHALL_SOURCE_DIR) + "/demo/";
  const TempFolder folder;
  const std::string file = folder.path() + "/examples.json";
  const auto chat = [](const char* system, const char* user) {
    return Json::array({{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}});
  };
  std::ofstream(file) << DumpJson(
      Json::array({{{"messages", chat("As digits.", "forty-two")}, {"expected", "42"}, {"group", "numbers"}},
                   {{"messages", chat("As SQL.", "How many books have price under 57?")},
                    {"expected", "SELECT COUNT(*) FROM books WHERE price < 57;"},
                    {"group", "sql"},
                    {"adapters", {"sql"}}},
                   {{"text", "forty-two"}}}));
  const std::vector<std::string> command{"quality",
                                         "--model",
                                         demo + "model",
                                         "--examples",
                                         file,
                                         "--adapter",
                                         "sql=" + demo + "adapters/lora-sql",
                                         "--weights",
                                         "int8",
                                         "--weights",
                                         "experts=int4,head=int8",
                                         "--json"};
  const Finished finished = RunCommand(command);
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const auto report = ParseJson(finished.out, "quality");
  REQUIRE(report.ok());
  REQUIRE(report->size() == 4);
  CHECK((*report)[3]["formats"] == "weights auto, KV cache int8");
  CHECK((*report)[3]["groups"][""]["divergence"] > 0.0);
  const Json &reference = (*report)[0], &int8 = (*report)[1], &int4 = (*report)[2];
  CHECK(reference["groups"][""]["divergence"] == 0.0);
  CHECK(reference["groups"]["numbers"]["accuracy"] == 1.0);
  CHECK(reference["groups"][""]["examples"] == 3);
  CHECK(int8["groups"]["numbers"]["accuracy"] == 1.0);
  CHECK(int8["groups"][""]["divergence"] > 0.0);
  CHECK(int8["groups"][""]["divergence"] < int4["groups"][""]["divergence"]);
  CHECK(int8["weight_bytes"] < reference["weight_bytes"]);
}

TEST_CASE("quality names the example that it cannot read", "[cpu]") {
  const TempFolder folder;
  const std::string file = folder.path() + "/examples.json";
  std::ofstream(file) << R"([{"text": "forty-two"}, {"text": "forty-two", "expected": "42"}])";
  const Finished finished = RunCommand(
      {"quality", "--model", std::string(GUILDHALL_SOURCE_DIR) + "/demo/model", "--examples", file});
  CHECK(finished.exit_code == 1);
  CHECK(finished.err.find("[1]: expected either messages with expected, or text") != std::string::npos);
}

TEST_CASE("a command that cannot do its work says why in one line and exits with its code", "[cpu]") {
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string said;
  };
  const Case cases[] = {
      {{"generate", "--server", "unix:/nowhere/at/all", "hello"}, 2, "no answer from unix:/nowhere/at/all"},
      {{"tasks", "--server", "unix:/nowhere/at/all"}, 2, "no answer from"},
      {{"status", "--server", "unix:/nowhere/at/all"}, 2, "no answer from"},
      {{"healthcheck", "--server", "unix:/nowhere/at/all"}, 2, "no answer from"},
      {{"inspect", "/nowhere/at/all"}, 1, "/nowhere/at/all"},
      {{"serve", "--set", "model.path=/nowhere/at/all"}, 1, "/nowhere/at/all"},
      {{"bench", "--shape", "nothing"}, 1, "nothing"},
      {{"generate"}, 1, "prompt"},
  };
  for (const Case& c : cases) {
    INFO(c.arguments[0]);
    const Finished finished = RunCommand(c.arguments);
    CHECK(finished.exit_code == c.exit_code);
    CHECK((finished.err + finished.out).find(c.said) != std::string::npos);
  }
}

TEST_CASE("GUILDHALL_ISA refuses a level that does not exist", "[cpu]") {
  const Finished finished =
      RunCommand({"bench", "--shape", "small", "--layers", "1"}, {"GUILDHALL_ISA=sse9"});
  CHECK(finished.exit_code == 1);
  CHECK(finished.err.find("sse9") != std::string::npos);
  CHECK(finished.err.find("portable") != std::string::npos);
}

TEST_CASE("bench reports shares of what it measured, as JSON too", "[cpu]") {
  const Finished finished = RunCommand({"bench", "--shape", "small", "--layers", "2", "--rounds", "1",
                                        "--seconds", "0.02", "--decode", "1,4", "--prefill", "32", "--json"});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const auto json = ParseJson(finished.out, "bench");
  REQUIRE(json.ok());
  REQUIRE((*json)["results"].size() == 3);
  for (const Json& result : (*json)["results"]) {
    CHECK(result["rows_per_second"].get<double>() > 0.0);
    CHECK(result["share"].get<double>() > 0.0);
  }
}

TEST_CASE("the log has the configured level and format", "[cpu]") {
  // What the server says before it finds no model.
  const auto said = [](const std::string& level, const std::string& format) {
    return RunCommand({"serve", "--model", "/nowhere", "--set", "server.listen=127.0.0.1:0", "--set",
                       "admin.listen=127.0.0.1:0", "--set", "log.level=" + level, "--set",
                       "log.format=" + format})
        .err;
  };
  const std::string text = said("info", "text"), json = said("info", "json");
  CHECK(text.find("guildhall ") != std::string::npos);
  CHECK(ParseJson(json.substr(0, json.find('\n')), "a line of the log").ok());
  CHECK_FALSE(ParseJson(text.substr(0, text.find('\n')), "a line of the log").ok());
  CHECK(said("error", "text").find("shutting down") == std::string::npos);
  CHECK(said("error", "text").size() < text.size());
}

}  // namespace guildhall
