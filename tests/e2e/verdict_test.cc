// One verdict: what one command says of a folder or a configuration, all of them say.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/json.h"
#include "tests/e2e/process.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
const std::string kDemo = std::string(GUILDHALL_SOURCE_DIR) + "/demo";

void Write(const std::string& path, const std::string& text) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << text;
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The demo model with one thing changed; its files are links.
class Model {
 public:
  explicit Model(const std::function<void(const std::string& folder)>& change) {
    fs::create_directory(path());
    for (const auto& entry : fs::directory_iterator(kDemo + "/model"))
      fs::create_symlink(entry.path(), path() + "/" + entry.path().filename().string());
    change(path());
    Write(folder_ / "tokens.json", "[[1, 4, 30]]");
  }
  std::string path() const { return folder_ / "model"; }

  // Exit codes of all that judge it, 0 or 1.
  std::vector<int> Verdicts() const {
    const std::vector<std::vector<std::string>> commands{
        {"inspect", path()},
        {"score", "--model", path(), "--tokens-file", folder_ / "tokens.json", "--kv", "4MiB"},
        {"quantize", path(), folder_ / "out", "--weights", "int8"},
        {"serve", "--model", path(), "--check-config"}};
    std::vector<int> codes;
    for (const auto& command : commands) {
      const Finished finished = RunCommand(command);
      INFO(command[0] << ": " << finished.exit_code << "\n" << finished.err);
      CHECK(finished.exit_code < 3);
      codes.push_back(finished.exit_code == 0 ? 0 : 1);
    }
    fs::remove_all(folder_ / "out");
    return codes;
  }

 private:
  TempFolder folder_;
};

std::function<void(const std::string&)> Put(const std::string& name, const std::string& text) {
  return [=](const std::string& folder) { Write(folder + "/" + name, text); };
}

}  // namespace

TEST_CASE("every command has the same verdict of a folder", "[cpu]") {
  const std::string config = Read(kDemo + "/model/config.json");
  const auto with = [&](const std::string& key, const Json& value) {
    auto json = ParseJson(config, "config.json");
    (*json)[key] = value;
    return Put("config.json", DumpJson(*json));
  };
  const auto indexed = [](const std::string& folder) {
    fs::remove(folder + "/model.safetensors");
    Write(folder + "/model.safetensors.index.json", R"({"weight_map": {}})");
  };
  const std::pair<const char*, std::function<void(const std::string&)>> bad[] = {
      {"index of nothing", indexed},
      {"no weights", [](const std::string& folder) { fs::remove(folder + "/model.safetensors"); }},
      {"cut weights", Put("model.safetensors", "1234567")},
      {"config", Put("config.json", "{")},
      {"config of another shape", with("hidden_size", 64)},
      {"tokenizer", Put("tokenizer.json", "{}")},
      {"tokenizer configuration", Put("tokenizer_config.json", "[]")},
      {"special tokens", Put("special_tokens_map.json", "x")},
      {"template that is no text", Put("chat_template.jinja", "\xff\xfe")},
      {"generation", Put("generation_config.json", R"({"do_sample": true, "temperature": 1000})")},
  };
  for (const auto& [name, change] : bad) {
    INFO(name);
    CHECK(Model(change).Verdicts() == std::vector<int>{1, 1, 1, 1});
  }
  const std::pair<const char*, std::function<void(const std::string&)>> good[] = {
      {"as it is", [](const std::string&) {}},
      {"no tokenizer", [](const std::string& folder) { fs::remove(folder + "/tokenizer.json"); }},
  };
  for (const auto& [name, change] : good) {
    INFO(name);
    CHECK(Model(change).Verdicts() == std::vector<int>{0, 0, 0, 0});
  }
}

TEST_CASE("a file of a folder that was not downloaded is called what it is, whichever file it is", "[cpu]") {
  const std::pair<std::string, std::string> kinds[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 8854808\n",
       "Git LFS pointer"},
      {"<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page"},
      {"", "empty"}};
  const auto inspected = [](const std::string& name, const std::function<void(const std::string&)>& change) {
    const Finished finished = RunCommand({"inspect", Model(change).path()});
    INFO(name << ": " << finished.out << finished.err);
    CHECK(finished.exit_code != 0);
    return finished.out + finished.err;
  };
  for (const auto& entry : fs::directory_iterator(kDemo + "/model")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".json") && !name.ends_with(".safetensors") && !name.ends_with(".jinja")) continue;
    for (const auto& [text, what] : kinds)
      CHECK_THAT(inspected(name, Put(name, text)), Catch::Contains(what));
    const auto half = [&](const std::string& folder) {
      fs::rename(folder + "/" + name, folder + "/" + name + ".incomplete");
    };
    CHECK_THAT(inspected(name, half), Catch::Contains("the download was not completed"));
  }
}

TEST_CASE("check-config and serve have the same verdict of a configuration", "[cpu]") {
  const TempFolder folder;
  Write(folder / "broken", "{");
  Write(folder / "empty", "");
  const std::vector<std::string> listeners{"--set", "server.listen=unix:" + folder / "inference",
                                           "--set", "admin.listen=unix:" + folder / "admin",
                                           "--set", "http.listen="};
  const std::string roots = "adapters.roots=" + kDemo + "/adapters";
  const std::vector<std::vector<std::string>> refused{
      {"memory.kv=0"},
      {"memory.kv=101%"},
      {"memory.kv=nan%"},
      {"memory.kv=1KiB"},
      {"device_memory=x"},
      {"weights.map=true"},
      {"admin.token_file=" + folder / "empty"},
      {"model.path=" + folder / "empty"},
      {"model.path="},
      {"adapters.roots=" + folder / "empty"},
      {"adapters.state_file=" + folder / "broken"},
      {"adapters.state_file=" + folder.path()},
      {roots, "adapters.preload.x.path=nope"},
      {roots, "adapters.preload.x.path=../model"},
      {roots, "adapters.preload.x.path=lora-sql", "adapters.max_rank=1"},
      {roots, "adapters.preload.x.path=esft-report", "adapters.preload.y.path=esft-report",
       R"(tasks.t.adapters=["x","y"])"},
      {"tasks.t.chat_template={% for %}"},
      {"tasks.t.chat_template_file=/dev/zero"},
      {"sampling.repetition_penalty=1e-320"},
  };
  for (const std::vector<std::string>& settings : refused) {
    std::vector<std::string> command{"serve", "--model", kDemo + "/model"};
    command.insert(command.end(), listeners.begin(), listeners.end());
    for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
    const Finished served = RunCommand(command);
    command.emplace_back("--check-config");
    const Finished checked = RunCommand(command);
    INFO(settings.back() << "\nserve: " << served.err << "\ncheck: " << checked.err);
    CHECK(served.exit_code == 1);
    CHECK(checked.exit_code == 1);
  }
}

TEST_CASE("check-config says what it could not check", "[cpu]") {
  const Finished elsewhere = RunCommand({"serve", "--set", "model.path=/models/elsewhere", "--set",
                                         "adapters.roots=/adapters/elsewhere", "--set",
                                         "admin.token_file=/run/secrets/token", "--check-config"});
  INFO(elsewhere.err);
  CHECK(elsewhere.exit_code == 0);
  for (const char* what :
       {"/models/elsewhere", "/adapters/elsewhere", "/run/secrets/token", "127.0.0.1:50051"})
    CHECK_THAT(elsewhere.err, Catch::Contains("not checked: ") && Catch::Contains(what));
  const Finished inspected = RunCommand({"inspect", kDemo + "/model"});
  CHECK_THAT(inspected.out, Catch::Contains("not checked       whether the memory"));
}

TEST_CASE("what an operator waives without need is said by who is told so", "[cpu]") {
  const std::string model = kDemo + "/model",
                    idle = "ignore_config_keys: \"nowhere\": config.json has no such key";
  CHECK_THAT(RunCommand({"inspect", model, "--ignore-config-key", "nowhere"}).out, Catch::Contains(idle));
  const Finished checked =
      RunCommand({"serve", "--model", model, "--set", "model.ignore_config_keys=nowhere", "--set",
                  "model.ignore_generation_config_keys=typo", "--set",
                  "adapters.roots=" + kDemo + "/adapters", "--set", "adapters.preload.x.path=lora-sql",
                  "--set", "adapters.ignore_config_keys=unneeded", "--check-config"});
  INFO(checked.err);
  CHECK(checked.exit_code == 0);
  CHECK_THAT(
      checked.err,
      Catch::Contains("note: " + idle) &&
          Catch::Contains("ignore_generation_config_keys: \"typo\": generation_config.json has no such") &&
          Catch::Contains("adapters.ignore_config_keys: \"unneeded\": no adapter of adapters.preload"));
}

}  // namespace guildhall
