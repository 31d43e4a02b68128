#include "tests/support/golden.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "tests/support/source_folder.h"

namespace guildhall {
namespace {

const std::string kRoot = SourceFolder() + "/tests/goldens/";
const std::string kAdapterRoot = SourceFolder() + "/tests/goldens_adapters/";

Json ReadJson(const std::string& path) {
  const auto text = ReadSmallFile(path, size_t{4} << 20);
  GH_CHECK(text.ok());
  auto json = ParseJson(*text, path);
  GH_CHECK(json.ok());
  return *std::move(json);
}

// Folders of `root` with a file of that name.
std::vector<std::string> FoldersWith(const std::string& root, const std::string& file, size_t at_least) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (std::filesystem::exists(entry.path() / file)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  GH_CHECK_GE(names.size(), at_least);
  return names;
}

}  // namespace

std::vector<std::string> GoldenNames() {
  return FoldersWith(kRoot, "golden.json", 40);
}

std::vector<std::string> AdapterGoldenNames() {
  return FoldersWith(kAdapterRoot, "case.json", 30);
}

AdapterGolden LoadAdapterGolden(const std::string& name) {
  AdapterGolden golden;
  golden.name = name;
  const std::string directory = kAdapterRoot + name + "/";
  const Json json = ReadJson(directory + "case.json");
  golden.base = json["base"];
  for (const Json& adapter : json["adapters"]) {
    golden.adapters.push_back(
        {adapter["name"], directory + adapter["path"].get<std::string>(), adapter["kind"]});
  }
  for (const Json& item : json["sequences"]) {
    AdapterGolden::Sequence& sequence = golden.sequences.emplace_back();
    for (const Json& use : item["adapters"]) sequence.adapters.push_back({use["name"], use["scale"]});
    sequence.tokens = item["tokens"].get<std::vector<int32_t>>();
    sequence.logits = ReadNpy(directory + item["logits"].get<std::string>());
    sequence.expected_minus_base = item["expected_minus_base"];
  }
  return golden;
}

Golden LoadGolden(const std::string& name) {
  Golden golden;
  golden.name = name;
  golden.directory = kRoot + name;
  const Json json = ReadJson(golden.directory + "/golden.json");
  golden.bf16 = json["dtype"] == "bfloat16";
  golden.f16 = json["dtype"] == "float16";
  if (golden.f16) golden.float16_error = json["float16_rms_error"];
  for (const Json& sequence : json["sequences"]) {
    golden.sequences.push_back({sequence["tokens"].get<std::vector<int32_t>>(),
                                ReadNpy(golden.directory + "/" + sequence["logits"].get<std::string>())});
  }
  if (json.contains("greedy")) {
    for (const Json& greedy : json["greedy"]) {
      golden.greedy.push_back(
          {greedy["prompt"].get<std::vector<int32_t>>(), greedy["continuation"].get<std::vector<int32_t>>()});
    }
  }
  return golden;
}

}  // namespace guildhall
