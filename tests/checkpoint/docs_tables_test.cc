// The tables of docs/formats.md: each row is shown to be true, and there is no row without its proof.
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/inspect.h"
#include "kernels/kv_shape.h"
#include "tests/checkpoint/tiny_folder.h"
#include "tests/support/markdown_table.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

const std::string kPage = std::string(GUILDHALL_SOURCE_DIR) + "/docs/formats.md";

// A good folder, changed: what inspection says against it.
std::string Verdict(const std::function<void(const TestFolder&)>& change) {
  const TestFolder folder;
  folder.Write("config.json", TinyLlamaConfig());
  folder.Write("model.safetensors", SafetensorsBytes(TinyLlamaTensors()));
  change(folder);
  const auto inspection = Inspect(folder.path());
  if (!inspection.ok()) return std::string(inspection.status().message());
  std::string text;
  for (const Problem& problem : inspection->problems) text += problem.text + "\n";
  return text;
}

// In the place of each file of the folder.
void CheckInPlace(const std::string& text, const std::string& what) {
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
    INFO(name);
    CHECK_THAT(Verdict([&](const TestFolder& folder) { folder.Write(name, text); }), Contains(what));
  }
}

void CheckUnfinished() {
  for (const char* ending : {".incomplete", ".part", ".partial", ".crdownload", ".aria2"}) {
    INFO(ending);
    const auto half = [&](const TestFolder& folder) {
      fs::rename(folder.Path("model.safetensors"), folder.Path(std::string("model.safetensors") + ending));
    };
    CHECK_THAT(Verdict(half), Contains("the download was not completed"));
  }
  const auto dangling = [](const TestFolder& folder) {
    fs::remove(folder.Path("model.safetensors"));
    fs::create_symlink("../../blobs/0123", folder.Path("model.safetensors"));
  };
  CHECK_THAT(Verdict(dangling), Contains("a link to a file that is not there"));
}

void CheckInstead(const std::string& name, const std::string& what) {
  const auto other = [&](const TestFolder& folder) {
    fs::rename(folder.Path("model.safetensors"), folder.Path(name));
  };
  CHECK_THAT(Verdict(other), Contains(what));
}

void CheckTensors() {
  const auto with = [](const std::function<void(TestTensors&)>& change) {
    return Verdict([&](const TestFolder& folder) {
      TestTensors tensors = TinyLlamaTensors();
      change(tensors);
      folder.Write("model.safetensors", SafetensorsBytes(tensors));
    });
  };
  CHECK_THAT(with([](TestTensors& tensors) { tensors.erase("model.norm.weight"); }),
             Contains("model.norm.weight"));
  CHECK_THAT(with([](TestTensors& tensors) { tensors["model.left.over"] = Counting({2}); }),
             Contains("model.left.over"));
  CHECK_THAT(with([](TestTensors& tensors) { tensors["model.norm.weight"] = Counting({5}); }),
             Contains("model.norm.weight") && Contains("[5]"));
}

void CheckShard() {
  const auto indexed = [](const TestFolder& folder) {
    fs::remove(folder.Path("model.safetensors"));
    folder.Write("model.safetensors.index.json",
                 Json{{"weight_map", {{"model.norm.weight", "model-00001-of-00001.safetensors"}}}});
  };
  CHECK_THAT(Verdict(indexed), Contains("model-00001-of-00001.safetensors"));
}

}  // namespace

TEST_CASE("docs: what the page says is refused of a folder is refused, and called what it is") {
  const std::map<std::string, std::function<void()>> rows{
      {"a Git LFS pointer in the place of a file",
       [] {
         CheckInPlace(
             "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 77\n",
             "Git LFS pointer, and the file itself (77 bytes) was not downloaded: run \"git lfs pull\"");
       }},
      {"a web page or a server's refusal in the place of a file",
       [] {
         CheckInPlace("<!doctype html><title>Sign in</title>", "web page");
         CheckInPlace("Invalid username or password.", "a server's refusal");
       }},
      {"an empty file", [] { CheckInPlace("", "empty"); }},
      {"`model.safetensors.incomplete`, `.part`, `.partial`, `.crdownload`, `.aria2`, or a link to nothing, "
       "and no file",
       CheckUnfinished},
      {"a file that is cut short",
       [] {
         const auto cut = [](const TestFolder& folder) {
           fs::resize_file(folder.Path("model.safetensors"),
                           fs::file_size(folder.Path("model.safetensors")) - 4);
         };
         CHECK_THAT(Verdict(cut), Contains("expected") && Contains("found") && Contains("cut short"));
       }},
      {"`pytorch_model.bin` alone",
       [] { CheckInstead("pytorch_model.bin", "convert the checkpoint to safetensors"); }},
      {"a GGUF file alone", [] { CheckInstead("model.gguf", "GGUF is not served"); }},
      {"quantised weights (`quantization_config`)",
       [] {
         const auto quantised = [](const TestFolder& folder) {
           Json config = TinyLlamaConfig();
           config["quantization_config"] = {{"quant_method", "fp8"}};
           folder.Write("config.json", config);
         };
         CHECK_THAT(Verdict(quantised), Contains("convert the checkpoint to BF16"));
       }},
      {"a tensor that is missing, left over or of another shape", CheckTensors},
      {"a shard that the index names and the folder lacks", CheckShard},
  };
  CHECK(Verdict([](const TestFolder&) {}).empty());
  const std::vector<std::string> written = FirstCells(kPage, "refused");
  CHECK(written.size() == rows.size());
  for (const std::string& row : written) {
    INFO("docs/formats.md: " << row);
    REQUIRE(rows.contains(row));
    rows.at(row)();
  }
}

TEST_CASE("docs: the values of memory.kv_dtype are the formats that there are, and auto") {
  std::vector<std::string> expected{"`auto`"};
  for (const KvFormat format : kKvFormats) expected.push_back("`" + std::string(KvFormatName(format)) + "`");
  CHECK(FirstCells(kPage, "value") == expected);
}

}  // namespace guildhall
