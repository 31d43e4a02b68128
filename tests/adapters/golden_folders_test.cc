// Folders that PEFT wrote and folders as ESFT publishes them: read, merged into the base and run.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>

#include "adapters/adapter_folder.h"
#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "checkpoint/checkpoint.h"
#include "model/decoder.h"
#include "tests/adapters/merged_base.h"
#include "tests/model/runner.h"
#include "tests/support/npy.h"

namespace guildhall {
namespace {

const std::string kRoot = std::string(GUILDHALL_SOURCE_DIR) + "/tests/goldens_adapters/";
const std::string kBases = std::string(GUILDHALL_SOURCE_DIR) + "/tests/goldens/";

std::vector<std::string> CaseNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot)) {
    if (std::filesystem::exists(entry.path() / "case.json"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  GH_CHECK_GE(names.size(), 30u);  // goldens that were not found must not pass for goldens that hold
  return names;
}

struct Case {
  Json json;
  std::unique_ptr<Checkpoint> base;
  std::map<std::string, std::unique_ptr<AdapterSource>> adapters;
};

Case OpenCase(const std::string& name) {
  Case found;
  const auto text = ReadSmallFile(kRoot + name + "/case.json", size_t{1} << 20);
  GH_CHECK(text.ok());
  found.json = *ParseJson(*text, name);
  auto base = Checkpoint::Open(kBases + found.json["base"].get<std::string>());
  GH_CHECK(base.ok());
  found.base = *std::move(base);
  for (const Json& adapter : found.json["adapters"]) {
    AdapterFolderOptions options;
    if (adapter.contains("expert_config")) {
      options.expert_config = kRoot + name + "/" + adapter["expert_config"].get<std::string>();
    }
    auto source =
        OpenAdapterFolder(kRoot + name + "/" + adapter["path"].get<std::string>(), *found.base, options);
    INFO(name << " " << adapter.dump() << ": " << source.status());
    REQUIRE(source.ok());
    CHECK((*source)->manifest().kind == adapter["kind"].get<std::string>());
    found.adapters[adapter["name"].get<std::string>()] = *std::move(source);
  }
  return found;
}

std::vector<float> LogitsOf(const WeightSource& source, const std::vector<int32_t>& tokens) {
  const auto backend = DefaultTestBackend().make(1);
  DecoderOptions options;
  options.max_rows = options.max_outputs = 192;
  options.kv_blocks = 96;
  const auto decoder = Decoder::Load(source, *backend, options);
  GH_CHECK(decoder.ok());
  return FeedAlone(**decoder, tokens);
}

}  // namespace

TEST_CASE("every golden folder opens, and says what it changes") {
  for (const std::string& name : CaseNames()) {
    const Case golden = OpenCase(name);
    for (const auto& [adapter, source] : golden.adapters) {
      INFO(name << " " << adapter);
      const AdapterManifest& manifest = source->manifest();
      CHECK(manifest.low_rank.empty() != manifest.replaced.empty());
      CHECK(manifest.file_bytes > 0);
      CHECK_FALSE(manifest.fingerprint.empty());
      CHECK(std::is_sorted(manifest.low_rank.begin(), manifest.low_rank.end(),
                           [](const auto& a, const auto& b) { return a.key < b.key; }));
      CHECK(source->CheckUnchanged().ok());
    }
  }
}

TEST_CASE(
    "what the folders change, merged into the base, gives the logits of PEFT and of merged checkpoints") {
  for (const std::string& name : CaseNames()) {
    const Case golden = OpenCase(name);
    for (const Json& sequence : golden.json["sequences"]) {
      MergedBase::Mix mix;
      for (const Json& use : sequence["adapters"]) {
        mix.emplace_back(golden.adapters.at(use["name"].get<std::string>()).get(), use["scale"].get<float>());
      }
      const MergedBase merged(*golden.base, mix);
      const std::vector<float> logits = LogitsOf(merged, sequence["tokens"].get<std::vector<int32_t>>());
      const NpyArray expected = ReadNpy(kRoot + name + "/" + sequence["logits"].get<std::string>());
      REQUIRE(logits.size() == expected.values.size());
      double worst = 0;
      for (size_t i = 0; i < logits.size(); ++i) {
        const double difference = std::fabs(double{logits[i]} - double{expected.values[i]});
        worst = std::max(worst, difference - 1e-4 * std::fabs(double{expected.values[i]}));
        if (!(difference < 1e30)) worst = 1e30;
      }
      INFO(name << " " << sequence["adapters"].dump() << ", " << sequence["tokens"].size() << " tokens");
      CHECK(worst <= 2e-4);
    }
  }
}

}  // namespace guildhall
