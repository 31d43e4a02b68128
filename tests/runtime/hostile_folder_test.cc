// Model folders, each with one thing wrong: the one reading that decides refuses them by name, in no time and
// without memory; and what it lets through loads.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <limits>

#include "base/str_cat.h"
#include "runtime/model_plan.h"
#include "tests/runtime/small_folder.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

using Files = std::map<std::string, std::string>;

struct Verdicts {
  absl::Status files, plan, load;
  std::string text() const {
    return StrCat("\nfiles: ", files.ToString(), "\nplan: ", plan.ToString(), "\nload: ", load.ToString());
  }
};

// What each of those that ask a folder would be told: by name alone, with a back end, and when it is loaded.
Verdicts Ask(const std::string& path) {
  Verdicts said;
  BaseModelOptions options;
  options.path = path;
  options.backend = DefaultTestBackend().options;
  options.kv_budget = "1MiB";
  options.max_rows = 16;
  const auto files = OpenModelFiles(path, {});
  said.files = files.status();
  std::vector<std::string> unchecked;
  said.plan = files.ok() ? CheckBaseModel(options, *files, unchecked) : files.status();
  said.load = LoadBaseModel(options).status();
  return said;
}

Verdicts Changed(const std::function<void(Files&)>& change) {
  const TestFolder folder;
  Files files = SmallModelFiles();
  change(files);
  WriteFiles(folder, files);
  return Ask(folder.path());
}

// Refused by all who look, and never as what only a broken program is.
void CheckRefused(const Verdicts& said, std::string_view named) {
  INFO(said.text());
  CHECK_FALSE(said.files.ok());
  CHECK(said.load.code() == said.files.code());
  CHECK(said.load.message() == said.files.message());
  CHECK(said.files.code() != absl::StatusCode::kInternal);
  CHECK(said.files.code() != absl::StatusCode::kUnknown);
  CHECK_THAT(std::string(said.files.message()), Catch::Contains(std::string(named)));
  CHECK(said.files.message().size() < 20'000);
}

void CheckAgree(const Verdicts& said) {
  INFO(said.text());
  CHECK(said.plan.ok() == said.load.ok());
}

}  // namespace

TEST_CASE("folder: the small model is served") {
  const Verdicts said = Changed([](Files&) {});
  INFO(said.text());
  CHECK(said.files.ok());
  CHECK(said.plan.ok());
  CHECK(said.load.ok());
}

TEST_CASE("folder: an index of no tensors is refused as every folder that lacks weights") {
  for (const char* index : {R"({"weight_map": {}})", R"({"metadata": {}, "weight_map": {}})"}) {
    CheckRefused(Changed([&](Files& files) {
                   files.erase("model.safetensors");
                   files["model.safetensors.index.json"] = index;
                 }),
                 "weight_map");
  }
}

TEST_CASE("folder: a header of safetensors that lies") {
  const std::string good = SmallModelFiles()["model.safetensors"];
  std::vector<std::string> bad{"",
                               "1234567",
                               good.substr(0, good.size() - 2),
                               good + "xx",
                               SafetensorsBytes("{", ""),
                               SafetensorsBytes("{}", ""),
                               SafetensorsBytes(std::string(100'000, '['), "")};
  for (const uint64_t length : {uint64_t{0}, uint64_t{good.size()}, uint64_t{100'000'000}, uint64_t{1} << 63,
                                std::numeric_limits<uint64_t>::max()}) {
    std::string lie = good;
    for (size_t i = 0; i < 8; ++i) lie[i] = static_cast<char>(length >> (8 * i));
    bad.push_back(lie);
  }
  for (const std::string& bytes : bad) {
    INFO(bytes.size());
    CheckRefused(Changed([&](Files& files) { files["model.safetensors"] = bytes; }), "");
  }
}

TEST_CASE("folder: files that are no files, in every place") {
  for (const auto& [name, text] : SmallModelFiles()) {
    for (const char* kind : {"fifo", "directory", "zero", "loop"}) {
      INFO(name << " is a " << kind);
      const TestFolder folder;
      Files files = SmallModelFiles();
      files.erase(name);
      WriteFiles(folder, files);
      const std::string path = folder.Path(name), what = kind;
      if (what == "fifo") REQUIRE(mkfifo(path.c_str(), 0600) == 0);
      if (what == "directory") std::filesystem::create_directory(path);
      if (what == "zero") std::filesystem::create_symlink("/dev/zero", path);
      if (what == "loop") std::filesystem::create_symlink(name, path);
      CheckRefused(Ask(folder.path()), name);
    }
  }
}

TEST_CASE("folder: text files that are not text of theirs, in every place") {
  const std::pair<const char*, std::string> kinds[] = {{"empty", ""},
                                                       {"binary", std::string("\x00\xff\xfe{}", 5)},
                                                       {"UTF-16", std::string("\xff\xfe{\0}\0", 6)},
                                                       {"deep list", std::string(2'000'000, '[')},
                                                       {"list", "[]"},
                                                       {"deep object", [] {
                                                          std::string text;
                                                          for (int i = 0; i < 300'000; ++i) text += "{\"a\":";
                                                          return text;
                                                        }()}};
  for (const auto& [name, text] : SmallModelFiles()) {
    if (!name.ends_with(".json")) continue;
    for (const auto& [kind, bytes] : kinds) {
      INFO(name << ": " << kind);
      CheckRefused(Changed([&](Files& files) { files[name] = bytes; }), name);
    }
  }
}

TEST_CASE("folder: numbers of config.json that are none of a model's") {
  const std::pair<const char*, std::vector<Json>> keys[] = {
      {"vocab_size", {0, -1, 2147483647, 2147483648, 9.3e18, 1e300, "5", nullptr, 4, 6}},
      {"hidden_size", {0, 1, 2147483647, int64_t{1} << 62}},
      {"num_hidden_layers", {0, 2, 1'000'000, 2147483647}},
      {"num_experts", {0, 1, 3, 1'000'000, 2147483648}},
      {"num_experts_per_tok", {0, 3, 2147483648}},
      {"num_attention_heads", {0, 3, 2147483648}},
      {"max_position_embeddings", {0, int64_t{1} << 40}},
      {"rms_norm_eps", {0, -1, 1e300, "x"}},
      {"rope_theta", {0, -1, 1e308}},
      {"model_type", {"gpt2", 5}},
      {"hidden_act", {"gelu", 5}},
      {"eos_token_id", {"x"}},
      {"rope_scaling", {Json{{"type", "yarn"}}, Json{{"type", "linear"}, {"factor", 0}}}},
  };
  for (const auto& [key, values] : keys) {
    for (const Json& value : values) {
      if (value.is_null()) continue;
      INFO(key << " = " << DumpJson(value));
      CheckRefused(Changed([&](Files& files) {
                     Json config = TinyOlmoeConfig();
                     config[key] = value;
                     files["config.json"] = DumpJson(config);
                   }),
                   "");
    }
  }
}

TEST_CASE("folder: the text side decides as the weights do, and both are told") {
  CheckRefused(Changed([](Files& files) {
                 files["generation_config.json"] = R"({"do_sample": true, "temperature": 1000})";
               }),
               "temperature");
  const Verdicts both = Changed([](Files& files) {
    files["tokenizer.json"] = "{";
    files["model.safetensors"] = "";
  });
  CheckRefused(both, "tokenizer.json");
  CheckRefused(both, "model.safetensors");
  // A template that does not compile serves nothing and keeps nothing else from being served.
  CheckAgree(Changed([](Files& files) { files["chat_template.jinja"] = "{% for %}"; }));
}

TEST_CASE("folder: what is no folder has no other verdict") {
  const TestFolder folder;
  folder.Write("file", std::string("x"));
  for (const std::string& path : {folder.Path("nothing"), folder.Path("file"), std::string("a\0b", 3)}) {
    const Verdicts said = Ask(path);
    CHECK_FALSE(said.files.ok());
    CHECK(said.files == said.load);
  }
}

}  // namespace guildhall
