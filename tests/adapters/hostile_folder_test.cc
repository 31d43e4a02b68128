// Folders that were not made to be served: a typed refusal each, and nothing hangs or dies.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/adapters/adapter_builder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;
namespace fs = std::filesystem;

}  // namespace

TEST_CASE("a folder that is absent, a file, empty or of no kind") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  CHECK(OpenAdapterFolder(folder.Path("absent"), *base).status().code() == absl::StatusCode::kNotFound);
  folder.Write("file", std::string("text"));
  CHECK(OpenAdapterFolder(folder.Path("file"), *base).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(OpenAdapterFolder(folder.Path("file") + "/below", *base).status().code() ==
        absl::StatusCode::kNotFound);
  CHECK(OpenAdapterFolder(std::string("a\0b", 3), *base).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK_FALSE(OpenAdapterFolder(std::string(5000, 'x'), *base).ok());
  CHECK_THAT(Refusal(folder, *base), Contains("found neither"));
  folder.Write("adapter_model.bin", std::string("pickle"));
  CHECK_THAT(Refusal(folder, *base), Contains("adapter_model.bin") && Contains("as safetensors"));
}

TEST_CASE("two kinds, or two adapters, in one folder") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  folder.Write("expert_cfg.json", Json::object());
  CHECK_THAT(Refusal(folder, *base), Contains("expected one kind of adapter"));
  fs::remove(folder.Path("expert_cfg.json"));
  folder.Write("model-00001-of-000001.safetensors", SafetensorsBytes(QFactors()));
  CHECK_THAT(Refusal(folder, *base), Contains("found \"model-00001-of-000001.safetensors\" too"));
  fs::remove(folder.Path("model-00001-of-000001.safetensors"));
  CHECK(Refusal(folder, *base) == "");
  fs::remove(folder.Path("adapter_model.safetensors"));
  CHECK_THAT(Refusal(folder, *base), Contains("found no such file"));
}

TEST_CASE("a tensor in two shards is refused") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  TestTensors tensors;
  AddExpert(tensors, 0, 0);
  folder.Write("a.safetensors", SafetensorsBytes(tensors));
  folder.Write("b.safetensors", SafetensorsBytes(tensors));
  CHECK_THAT(Refusal(folder, *base), Contains("found in two") && Contains("b.safetensors"));
}

TEST_CASE("FIFOs, directories, devices and link loops in the place of files") {
  const TinyBase base = TinyBase::Olmoe();
  for (const std::string name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const TestFolder folder;
    const auto put = [&](const auto& make) {
      fs::remove_all(folder.Path(name));
      WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
      fs::remove_all(folder.Path(name));
      make(folder.Path(name));
      return Refusal(folder, *base);
    };
    CHECK_THAT(put([](const std::string& path) { REQUIRE(mkfifo(path.c_str(), 0600) == 0); }),
               Contains("a FIFO"));
    CHECK_THAT(put([](const std::string& path) { fs::create_directory(path); }), Contains("a directory"));
    CHECK_THAT(put([](const std::string& path) { fs::create_symlink("/dev/zero", path); }),
               Contains("a device"));
    CHECK_THAT(put([](const std::string& path) { fs::create_symlink(path, path); }), Contains("cannot open"));
    CHECK_THAT(put([](const std::string& path) { fs::create_symlink("absent", path); }),
               Contains("cannot open"));
  }
  const TestFolder loop;
  fs::create_directory_symlink(loop.Path("b"), loop.Path("a"));
  fs::create_directory_symlink(loop.Path("a"), loop.Path("b"));
  CHECK_FALSE(OpenAdapterFolder(loop.Path("a"), *base).ok());
}

TEST_CASE("broken JSON and JSON without an end") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("null"), std::string("{\"r\": 1} x"),
        std::string("\xff"), std::string(1'000'000, '['), "{\"r\":1,\"r\":2}" + std::string(),
        "{\"target_modules\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}"}) {
    folder.Write("adapter_config.json", text);
    absl::StatusCode code;
    INFO(Refusal(folder, *base, &code));
    CHECK(code == absl::StatusCode::kInvalidArgument);
  }
  // Sparse: a size that no configuration has is refused before it is read.
  fs::resize_file(folder.Path("adapter_config.json"), uintmax_t{1} << 40);
  CHECK_THAT(Refusal(folder, *base), Contains("at most"));
}

TEST_CASE("files of tensors that are cut, sparse or no safetensors at all") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  const std::string path = folder.Path("adapter_model.safetensors");
  const auto size = fs::file_size(path);
  for (const uintmax_t cut :
       {size - 1, size / 2, uintmax_t{9}, uintmax_t{3}, uintmax_t{0}, size + 1, uintmax_t{1} << 40}) {
    WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
    fs::resize_file(path, cut);
    absl::StatusCode code;
    INFO(cut << " " << Refusal(folder, *base, &code));
    CHECK(code == absl::StatusCode::kInvalidArgument);
  }
  TestTensors wide = QFactors();
  wide.begin()->second.dtype = "I32";
  folder.Write("adapter_model.safetensors", SafetensorsBytes(wide));
  CHECK_THAT(Refusal(folder, *base), Contains("expected dtype F32, BF16 or F16, found I32"));
}

TEST_CASE("a file that is cut or written to after it was opened is DATA_LOSS, not a crash") {
  const TinyBase base = TinyBase::Olmoe();
  for (const bool cut : {true, false}) {
    const TestFolder folder;
    WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
    const auto source = OpenAdapterFolder(folder.path(), *base);
    REQUIRE(source.ok());
    const std::string path = folder.Path("adapter_model.safetensors");
    if (cut) {
      fs::resize_file(path, 16);
    } else {
      fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(5));
    }
    AdapterSource::Scratch a, b;
    const auto read = (*source)->ReadLowRank((*source)->manifest().low_rank[0], a, b);
    CHECK(read.status().code() == absl::StatusCode::kDataLoss);
    CHECK_THAT(std::string(read.status().message()), Contains("q_proj.lora_A.weight"));
    CHECK((*source)->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
  }
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  const auto source = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(source.ok());
  folder.Write("adapter_config.json", PeftConfigJson({"k_proj", "q_proj"}));
  CHECK((*source)->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE(
    "a folder that is exchanged by renaming keeps serving its open files, and has another fingerprint") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  const auto first = OpenAdapterFolder(folder.path(), *base);
  REQUIRE(first.ok());
  const auto again = OpenAdapterFolder(folder.path(), *base);
  CHECK((*again)->manifest().fingerprint == (*first)->manifest().fingerprint);
  TestTensors other = QFactors();
  for (auto& [name, tensor] : other) tensor = Counting(tensor.shape, 900);
  folder.Write("new", SafetensorsBytes(other));
  fs::rename(folder.Path("new"), folder.Path("adapter_model.safetensors"));
  AdapterSource::Scratch a, b;
  const auto old = (*first)->ReadLowRank((*first)->manifest().low_rank[0], a, b);
  REQUIRE(old.ok());
  CHECK(LoadElement(old->a.data, old->a.dtype, 0) == 1.0f);
  const auto second = OpenAdapterFolder(folder.path(), *base);
  CHECK((*second)->manifest().fingerprint != (*first)->manifest().fingerprint);
}

TEST_CASE("the right adapter on the wrong base is refused by the first shape that differs") {
  const auto other = GoldenBase("olmoe_f32");
  const TestFolder folder;
  WritePeft(folder, PeftConfigJson({"q_proj"}), QFactors());
  CHECK_THAT(Refusal(folder, *other), Contains("of another base model"));
}

TEST_CASE("names of a megabyte and a hundred thousand targets are answered in time and at bounded length") {
  const TinyBase base = TinyBase::Olmoe();
  const TestFolder folder;
  TestTensors tensors = QFactors();
  tensors[std::string(1 << 20, 'n')] = Counting({1});
  for (int i = 0; i < 2000; ++i) tensors["x" + std::to_string(i)] = Counting({1});
  Json config = PeftConfigJson({"q_proj"});
  for (int i = 0; i < 90'000; ++i) config["target_modules"].push_back("module_" + std::to_string(i));
  WritePeft(folder, config, tensors);
  CHECK(Refusal(folder, *base).size() < 4000);
  config = PeftConfigJson({"q_proj"});
  for (int i = 0; i < 5000; ++i) config["rank_pattern"]["a" + std::to_string(i)] = 1;
  WritePeft(folder, config, QFactors());
  CHECK_THAT(Refusal(folder, *base), Contains("rank_pattern: expected at most"));
  config = PeftConfigJson("(a{900}|b{900})*" + std::string(50, '.') + "(c{900})");
  WritePeft(folder, config, QFactors());
  CHECK_FALSE(Refusal(folder, *base) == "");
}

}  // namespace guildhall
