#include "tests/support/golden.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"

namespace guildhall {
namespace {

const std::string kRoot = std::string(GUILDHALL_SOURCE_DIR) + "/tests/goldens/";

Json ReadJson(const std::string& path) {
  const auto text = ReadSmallFile(path, size_t{4} << 20);
  GH_CHECK(text.ok());
  auto json = ParseJson(*text, path);
  GH_CHECK(json.ok());
  return *std::move(json);
}

}  // namespace

std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot)) {
    if (std::filesystem::exists(entry.path() / "golden.json"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  GH_CHECK_GE(names.size(), 40u);
  return names;
}

Golden LoadGolden(const std::string& name) {
  Golden golden;
  golden.name = name;
  golden.directory = kRoot + name;
  const Json json = ReadJson(golden.directory + "/golden.json");
  golden.bf16 = json["dtype"] == "bfloat16";
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
