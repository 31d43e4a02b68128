// Folders whose files were changed at random: every one is refused, or loads and makes a step.
#include <catch2/catch.hpp>
#include <random>

#include "runtime/model_plan.h"
#include "tests/runtime/small_folder.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  std::string Next(const std::string& name, const std::string& text) {
    if (name == "model.safetensors") return Tensors(text);
    if (Below(4) == 0) return Bytes(text);
    auto json = ParseJson(text, name);
    REQUIRE(json.ok());
    for (size_t edits = 1 + Below(3); edits > 0; --edits) Edit(*json);
    return DumpJson(*json);
  }

 private:
  // The header by bytes or by values, its length, or the length of the file.
  std::string Tensors(const std::string& file) {
    uint64_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
    const std::string header = file.substr(8, length), data = file.substr(8 + length);
    switch (Below(4)) {
      case 0:
        return SafetensorsBytes(Bytes(header), data);
      case 1: {
        std::string lie = file;
        lie[Below(8)] = static_cast<char>(Below(256));
        return lie;
      }
      case 2:
        return file.substr(0, Below(file.size()));
      default: {
        auto json = ParseJson(header, "header");
        REQUIRE(json.ok());
        Edit(*json);
        return SafetensorsBytes(DumpJson(*json), data);
      }
    }
  }

  std::string Bytes(std::string text) {
    static const std::vector<std::string> kTokens{"99999999999", "-", "\xff\xfe", "1e999",   "NaN", "\\u0000",
                                                  "\\ud800",     "{", "//x\n",    "[[[[[[[", "\"",  ","};
    for (size_t edits = 1 + Below(8); edits > 0 && !text.empty(); --edits) {
      const size_t at = Below(text.size());
      switch (Below(4)) {
        case 0:
          text[at] = static_cast<char>(text[at] ^ (1 << Below(8)));
          break;
        case 1:
          text.erase(at, 1 + Below(64));
          break;
        case 2:
          text.insert(at, text.substr(Below(text.size()), 1 + Below(64)));
          break;
        default:
          text.insert(at, kTokens[Below(kTokens.size())]);
      }
    }
    return text;
  }

  void Edit(Json& root) {
    static const std::vector<Json> kWeird{0,
                                          -1,
                                          1,
                                          2,
                                          3,
                                          7,
                                          2147483647,
                                          2147483648,
                                          4294967296,
                                          9007199254740993,
                                          std::numeric_limits<uint64_t>::max(),
                                          1e308,
                                          -1e308,
                                          1e-320,
                                          0.5,
                                          true,
                                          nullptr,
                                          "",
                                          "0",
                                          "nan",
                                          std::string(300, 'x'),
                                          "yarn",
                                          "silu",
                                          Json::array(),
                                          Json::object(),
                                          Json::array({0}),
                                          Json::array({1, 2}),
                                          Json::array({nullptr}),
                                          Json{{"type", "yarn"}, {"factor", 1e300}}};
    Json* at = &root;
    while (at->is_structured() && !at->empty()) {
      auto child = at->begin();
      std::advance(child, static_cast<std::ptrdiff_t>(Below(at->size())));
      if (!child->is_structured() || child->empty() || Below(3) == 0) {
        if (Below(8) == 0) {
          at->erase(child);
        } else {
          *child = kWeird[Below(kWeird.size())];
        }
        return;
      }
      at = &*child;
    }
  }

  std::mt19937 random_;
};

absl::Status LoadAndStep(const std::string& path) {
  BaseModelOptions options;
  options.path = path;
  options.backend = DefaultTestBackend().options;
  options.kv_budget = "1MiB";
  options.device_memory = "256MiB";
  options.max_rows = 16;
  auto model = LoadBaseModel(options);
  if (!model.ok()) return model.status();
  const int32_t zero = 0;
  const int64_t place = 0;
  const OutputRow output{.row = 0};
  Batch batch;
  batch.tokens = batch.positions = batch.sequence = batch.block_table = std::span(&zero, 1);
  batch.kv_place = std::span(&place, 1);
  batch.max_blocks = 1;
  batch.outputs = {&output, 1};
  return RunStep(*model->decoder, batch).status();
}

}  // namespace

TEST_CASE("folder: whatever its files say, it is refused by name or makes a step") {
  const auto original = SmallModelFiles();
  const uint32_t seed = GENERATE(1u, 2u);
  Mutator mutator(seed);
  size_t served = 0, refused = 0;
  for (int i = 0; i < 150; ++i) {
    auto files = original;
    auto file = files.begin();
    std::advance(file, static_cast<std::ptrdiff_t>(mutator.Below(files.size())));
    file->second = mutator.Next(file->first, file->second);
    const TestFolder folder;
    WriteFiles(folder, files);
    INFO("seed " << seed << ", change " << i << " of " << file->first << ": "
                 << file->second.substr(0, 3000));
    const absl::Status status = LoadAndStep(folder.path());
    (status.ok() ? served : refused) += 1;
    if (status.ok()) continue;
    REQUIRE(status.code() != absl::StatusCode::kInternal);
    REQUIRE(status.code() != absl::StatusCode::kUnknown);
    REQUIRE_FALSE(status.message().empty());
  }
  CHECK(served > 0);
  CHECK(refused > 75);
}

}  // namespace guildhall
