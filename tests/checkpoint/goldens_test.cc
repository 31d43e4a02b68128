// The folders that transformers wrote, and the demo model, open with nothing left over.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/inspect.h"
#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

std::vector<std::string> GoldenFolders() {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(GUILDHALL_SOURCE_DIR "/tests/goldens")) {
    if (std::filesystem::exists(entry.path() / "config.json")) folders.push_back(entry.path().string());
  }
  return folders;
}

TEST_CASE("goldens: every folder opens, and its weights take up its files") {
  const std::vector<std::string> folders = GoldenFolders();
  CHECK(folders.size() >= 40);
  for (const std::string& folder : folders) {
    INFO(folder);
    const auto opened = Checkpoint::Open(folder);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    const auto inspection = Inspect(folder);
    REQUIRE(inspection.ok());
    CHECK(inspection->served);
    CHECK(inspection->notes.empty());
    CHECK(inspection->skipped_bytes == 0);
    int64_t bytes = 0;
    for (const auto& [dtype, size] : inspection->bytes_by_dtype) bytes += size;
    CHECK(static_cast<int64_t>((*opened)->TotalBytes()) == bytes);
  }
}

TEST_CASE("goldens: the demo model opens with its tokenizer") {
  const auto inspection = Inspect(GUILDHALL_SOURCE_DIR "/demo/model");
  REQUIRE(inspection.ok());
  INFO(InspectText(*inspection));
  CHECK(inspection->served);
  CHECK(inspection->spec.family == "deepseek_v2");
  CHECK(inspection->tokenizer == "tokenizer.json");
}

TEST_CASE(
    "goldens: a DeepSeek-V3 folder may carry layers that predict several tokens, and no more than it says") {
  const std::string source = GUILDHALL_SOURCE_DIR "/tests/goldens/deepseek_v3_f32";
  const auto text = ReadSmallFile(source + "/config.json", 1 << 20);
  REQUIRE(text.ok());
  Json config = *ParseJson(*text, "config.json");
  const TestFolder folder;
  // The tensors of the golden in one file, and one more in the layer after the last.
  TestTensors tensors;
  for (const auto& entry : std::filesystem::directory_iterator(source)) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto file = SafetensorsFile::Open(entry.path().string());
    REQUIRE(file.ok());
    for (const SafetensorsEntry& tensor : (*file)->header().entries) {
      const auto view = (*file)->View(tensor);
      REQUIRE(view.ok());
      tensors[tensor.name] = {tensor.dtype, tensor.shape,
                              std::string(reinterpret_cast<const char*>(view->data), view->Bytes())};
    }
  }
  const std::string after = "model.layers." + std::to_string(config["num_hidden_layers"].get<int>());
  tensors[after + ".eh_proj.weight"] = Counting({4, 4});
  folder.Write("model.safetensors", SafetensorsBytes(tensors));
  config["num_nextn_predict_layers"] = 1;
  folder.Write("config.json", config);
  const auto inspection = Inspect(folder.path());
  REQUIRE(inspection.ok());
  INFO(InspectText(*inspection));
  CHECK(inspection->served);
  CHECK(inspection->skipped_bytes == 64);
  config["num_nextn_predict_layers"] = 0;
  folder.Write("config.json", config);
  CHECK_THAT(std::string(Checkpoint::Open(folder.path()).status().message()),
             Contains(after + ".eh_proj.weight"));
}

}  // namespace
}  // namespace guildhall
