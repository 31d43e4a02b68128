// Folders of packed weights: the same bits as packing at load, and every damage refused by name.
#include "model/packed_folder.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "adapters/adapter_folder.h"
#include "base/mapped_file.h"
#include "checkpoint/model_folder.h"
#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temp_folder.h"
#include "tools/quantize_folder.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

// A place on the disk that goes with its owner.
class Place {
 public:
  std::string operator/(const std::string& name) const { return folder_ / name; }
  fs::path root() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

template <typename T>
T Must(absl::StatusOr<T> value) {
  INFO(value.status().ToString());
  REQUIRE(value.ok());
  return *std::move(value);
}

absl::StatusOr<PackedManifest> Quantize(const std::string& from, const std::string& to, const char* weights,
                                        bool force = false, const TestBackend& on = DefaultTestBackend()) {
  const auto checkpoint = Must(Checkpoint::Open(from));
  const auto backend = on.make(1);
  return QuantizeFolder(*checkpoint, *backend, to,
                        {.formats = Must(ParseWeightFormats(weights)), .force = force, .tool = "test"}, {});
}

absl::StatusOr<LoadedModel> LoadPacked(const std::string& directory, bool map = false, bool verify = true,
                                       const TestBackend& on = DefaultTestBackend()) {
  LoadedModel model;
  auto folder = PackedFolder::Open(directory);
  if (!folder.ok()) return folder.status();
  const PackedManifest& manifest = (*folder)->manifest();
  auto checkpoint = Checkpoint::OpenPacked(directory, {}, manifest.dtype, manifest.tensors.size());
  if (!checkpoint.ok()) return checkpoint.status();
  model.checkpoint = *std::move(checkpoint);
  model.backend = on.make(1);
  DecoderOptions options;
  options.max_rows = options.max_outputs = 192;
  options.kv_blocks = 96;
  auto decoder =
      Decoder::LoadPacked(*model.checkpoint, {folder->get(), map, verify}, *model.backend, options);
  if (!decoder.ok()) return decoder.status();
  model.decoder = *std::move(decoder);
  return model;
}

absl::Status Refusal(const std::string& directory) {
  return LoadPacked(directory).status();
}

std::string ReadText(const std::string& path) {
  return Must(ReadSmallFile(path, size_t{64} << 20));
}

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  REQUIRE(file.good());
}

// The manifest with one tensor, or itself, changed.
void Edit(const std::string& directory, const std::function<void(Json&)>& change) {
  const std::string path = directory + "/" + kPackedManifestFile;
  Json json = Must(ParseJson(ReadText(path), "manifest"));
  change(json);
  WriteText(path, DumpJson(json));
}

const char kMixed[] = "experts=int4,shared_experts=int4_offset,attention=int8,head=int8";

}  // namespace

TEST_CASE("a packed folder gives the bits of packing at load, copied and mapped, for every family",
          "[long]") {
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    const std::vector<int32_t>& tokens = golden.sequences.back().tokens;
    for (const char* weights : {"auto", kMixed}) {
      const Place place;
      INFO(name << " " << weights);
      Must(Quantize(golden.directory, place / "out", weights));
      const LoadedModel direct =
          LoadModel(golden.directory, DefaultTestBackend(), 1, Must(ParseWeightFormats(weights)));
      const std::vector<float> expected = FeedAlone(*direct.decoder, tokens);
      for (const bool map : {false, true}) {
        const LoadedModel packed = Must(LoadPacked(place / "out", map));
        CHECK(SameBits(FeedAlone(*packed.decoder, tokens), expected));
        CHECK(packed.checkpoint->spec().eos_tokens == direct.checkpoint->spec().eos_tokens);
      }
    }
  }
}

TEST_CASE("a folder of one level is refused by another whose layout differs, with the cure") {
  const std::vector<TestBackend> levels = CpuTestBackends();
  const Golden golden = LoadGolden("olmoe_f32");
  for (const TestBackend& level : levels) {
    const Place place;
    Must(Quantize(golden.directory, place / "out", "int8", false, level));
    CHECK(LoadPacked(place / "out", false, true, level).ok());
    const auto writer = level.make(1);
    CHECK(Must(PackedFolder::Open(place / "out"))->manifest().layout == level.name);
    for (const TestBackend& other : levels) {
      const auto reader = other.make(1);
      const bool same =
          LayoutChecksum(*writer, WeightFormat::kF32) == LayoutChecksum(*reader, WeightFormat::kF32);
      const auto loaded = LoadPacked(place / "out", false, true, other);
      CHECK(loaded.ok() == same);
      if (same) continue;
      CHECK(loaded.status().code() == absl::StatusCode::kFailedPrecondition);
      CHECK_THAT(std::string(loaded.status().message()),
                 Contains("--isa " + reader->level()) && Contains("cpu.isa " + writer->level()));
    }
  }
}

TEST_CASE("a folder whose manifest names its level as isa is served as before") {
  const Place place;
  const std::string out = place / "out";
  Must(Quantize(LoadGolden("olmoe_f32").directory, out, "auto"));
  Edit(out, [](Json& json) {
    const std::string layout = json["layout"];
    json.erase("layout");
    json["isa"] = layout.substr(layout.find('/') + 1);
  });
  CHECK(Refusal(out).ok());
}

TEST_CASE(
    "a folder that another device's back end packed is refused with the command that makes the right one") {
  const Place place;
  const std::string out = place / "out";
  Must(Quantize(LoadGolden("olmoe_f32").directory, out, "auto"));
  const std::string other = OnTestDevice() ? "cpu" : "cuda";
  Edit(out, [&](Json& json) {
    json["layout"] = other + "/other";
    for (auto& [format, checksum] : json["layouts"].items()) checksum = "00000000";
  });
  const absl::Status refused = Refusal(out);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  const std::string command =
      OnTestDevice() ? "--device cuda" : "--isa " + DefaultTestBackend().make(1)->level();
  CHECK_THAT(std::string(refused.message()), Contains(other + "/other") &&
                                                 Contains("guildhall quantize " + command) &&
                                                 Contains("choose device " + other) && !Contains("cpu.isa"));
}

TEST_CASE("damage to a packed folder is DATA_LOSS that names the tensor") {
  const Place place;
  const std::string out = place / "out";
  Must(Quantize(LoadGolden("olmoe_f32").directory, out, kMixed));
  const std::string manifest = ReadText(out + "/packed.json");
  const PackedManifest good = Must(ParsePackedManifest(manifest));
  const auto expect = [&](const std::string& text) {
    const absl::Status status = Refusal(out);
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kDataLoss);
    CHECK_THAT(std::string(status.message()), Contains(text));
    WriteText(out + "/packed.json", manifest);
  };
  REQUIRE(Refusal(out).ok());

  SECTION("one flipped bit in each kind of tensor") {
    for (const std::string name :
         {"embedding", "layers.0.qkv", "layers.1.router", "layers.1.experts.3.gate_up",
          "layers.0.experts.0.down", "final_norm", "head"}) {
      const auto tensor = std::find_if(good.tensors.begin(), good.tensors.end(),
                                       [&](const PackedTensor& t) { return t.name == name; });
      REQUIRE(tensor != good.tensors.end());
      for (const uint64_t at : {tensor->offset, tensor->offset + tensor->bytes - 1}) {
        std::fstream file(out + "/" + kPackedWeightsFile, std::ios::in | std::ios::out | std::ios::binary);
        const auto flip = [&] {
          file.seekg(static_cast<std::streamoff>(at));
          const auto byte = static_cast<char>(file.get() ^ 4);
          file.seekp(static_cast<std::streamoff>(at));
          file.put(byte).flush();
        };
        flip();
        expect("tensor " + name + ": its checksum");
        CHECK(LoadPacked(out, true).status().code() == absl::StatusCode::kDataLoss);
        CHECK(LoadPacked(out, true, false).ok());  // mapped without looking
        flip();
      }
    }
  }
  SECTION("a file that was cut or grew") {
    fs::resize_file(out + "/" + kPackedWeightsFile, good.bytes - 1);
    expect("expected " + std::to_string(good.bytes) + " bytes, found " + std::to_string(good.bytes - 1));
    fs::resize_file(out + "/" + kPackedWeightsFile, good.bytes + 64);
    expect("found " + std::to_string(good.bytes + 64));
  }
  SECTION("places, shapes, formats and names that the model does not have") {
    const auto edit = [&](const char* key, const Json& value) {
      Edit(out, [&](Json& json) { json["tensors"][3][key] = value; });
    };
    const std::string name = good.tensors[3].name;
    edit("offset", good.tensors[3].offset + 32);
    expect(name);
    edit("offset", good.tensors[3].offset - 64);
    expect(name);
    edit("offset", good.bytes + 64);
    expect(name);
    edit("offset", int64_t{0x7fffffffffffffc0});
    expect(name);
    edit("bytes", int64_t{0x7fffffffffffffff});
    expect(name);
    edit("bytes", good.tensors[3].bytes - 1);
    expect(name);
    edit("out", good.tensors[3].out + 16);
    expect("expected outputs " + std::to_string(good.tensors[3].out) + " by config.json");
    edit("in", good.tensors[3].in * 2);
    expect(name);
    edit("format", good.tensors[3].format == WeightFormat::kInt8 ? "int4" : "int8");
    expect(name);
    edit("name", "layers.0.other");
    expect(name);
    edit("name", good.tensors[4].name);
    expect(good.tensors[4].name);
    edit("crc32c", "00000000");
    expect(name);
    Edit(out, [&](Json& json) { json["tensors"].erase(3); });
    expect(name);
    Edit(out, [&](Json& json) { json["layouts"].erase("int8"); });
    expect("layout");
    Edit(out, [&](Json& json) { json["weights"]["experts"] = "int8"; });
    expect("experts.0.gate_up: expected int8, found int4");
    Edit(out, [&](Json& json) { json["weights"].erase("attention"); });
    expect("expected f32, bf16 or f16, found int8");
  }
}

TEST_CASE("a config.json of another shape than the packed weights is refused by the tensor") {
  const Place place;
  const std::string out = place / "out";
  Must(Quantize(LoadGolden("olmoe_f32").directory, out, "int8"));
  const std::string path = out + "/config.json", text = ReadText(path);
  const auto with = [&](const char* key, int64_t value) {
    Json json = Must(ParseJson(text, "config.json"));
    json[key] = value;
    WriteText(path, DumpJson(json));
    return Refusal(out);
  };
  const Json json = Must(ParseJson(text, "config.json"));
  const absl::Status wider = with("intermediate_size", json["intermediate_size"].get<int64_t>() + 16);
  CHECK(wider.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(wider.message()), Contains("experts.0.gate_up") && Contains("by config.json"));
  const absl::Status fewer = with("num_hidden_layers", json["num_hidden_layers"].get<int64_t>() - 1);
  CHECK(fewer.code() == absl::StatusCode::kDataLoss);
  // Sizes that config.json merely states cost neither time nor memory.
  const absl::Status many = with("num_experts", 1 << 30);
  CHECK_FALSE(many.ok());
}

TEST_CASE("a packed folder is written whole or not at all, and replaces only another one when told to") {
  const std::string source = LoadGolden("olmoe_f32").directory;
  const Place place;
  const std::string out = place / "out";
  const auto alone = [&](size_t expected) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(place.root()), {})) == expected;
  };
  Must(Quantize(source, out, "int8"));
  CHECK(alone(1));
  const absl::Status again = Quantize(source, out, "int4").status();
  CHECK(again.code() == absl::StatusCode::kAlreadyExists);
  CHECK_THAT(std::string(again.message()), Contains("--force"));
  CHECK(Must(PackedFolder::Open(out))->manifest().formats.experts == WeightFormat::kInt8);
  Must(Quantize(source, out + "/", "int4", true));
  CHECK(Must(PackedFolder::Open(out))->manifest().formats.experts == WeightFormat::kInt4);
  CHECK(alone(1));
  // What is no packed folder is never replaced.
  fs::create_directory(place / "else");
  WriteText(place / "else/precious", "text");
  CHECK(Quantize(source, place / "else", "int8", true).status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(ReadText(place / "else/precious") == "text");
  CHECK(Quantize(source, place / "no/where", "int8").status().code() == absl::StatusCode::kNotFound);
  CHECK(alone(2));
}

TEST_CASE("a packed folder names its source and is no checkpoint: what needs the numbers says so") {
  const Golden golden = LoadGolden("llama_f32");
  const Place place;
  Must(Quantize(golden.directory, place / "out", "int8"));
  const auto folder = Must(PackedFolder::Open(place / "out"));
  const std::vector<PackedSource>& sources = folder->manifest().sources;
  REQUIRE(sources.size() >= 2);
  CHECK(sources[0].name == "config.json");
  CHECK(sources[0].bytes == fs::file_size(golden.directory + "/config.json"));
  CHECK(sources[1].bytes == fs::file_size(golden.directory + "/" + sources[1].name));

  const absl::Status opened = Checkpoint::Open(place / "out").status();
  CHECK(opened.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(opened.message()), Contains("packed weights"));
  // Low-rank adapters need no numbers of the base; DoRA does.
  const LoadedModel packed = Must(LoadPacked(place / "out"));
  int refused = 0;
  for (const std::string name : {"lora_llama", "dora_llama"}) {
    for (const AdapterGolden::Adapter& adapter : LoadAdapterGolden(name).adapters) {
      auto source = OpenAdapterFolder(adapter.directory, *packed.checkpoint);
      absl::Status status = source.status();
      std::vector<std::byte> a, b;
      if (status.ok()) {
        for (const LowRankChange& change : (*source)->manifest().low_rank)
          status.Update((*source)->ReadLowRank(change, a, b).status());
      }
      INFO(adapter.directory << ": " << status.ToString());
      if (status.ok()) continue;
      CHECK(name == "dora_llama");
      CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
      CHECK_THAT(std::string(status.message()), Contains("serve the folder that they were made of"));
      ++refused;
    }
  }
  CHECK(refused >= 1);
}

}  // namespace guildhall
