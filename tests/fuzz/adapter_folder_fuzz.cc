// Whatever an adapter folder's configuration and header of tensors say: a refusal, or a source of which every
// change can be read. The input is both, with a line "---" between them; the tensors' bytes are zeros.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "adapters/adapter_folder.h"
#include "base/check.h"
#include "checkpoint/checkpoint.h"
#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

constexpr std::string_view kBetween = "\n---\n";

// The tiny model that all adapters are for.
const Checkpoint& Base() {
  static const TestFolder folder;
  static const std::unique_ptr<Checkpoint> base = [] {
    folder.Write("config.json", TinyOlmoeConfig());
    folder.Write("model.safetensors", SafetensorsBytes(TinyOlmoeTensors()));
    auto opened = Checkpoint::Open(folder.path());
    GH_CHECK(opened.ok());
    return *std::move(opened);
  }();
  return *base;
}

// As many bytes behind the header as its largest offset says, up to 64 KiB.
size_t DataBytes(std::string_view header) {
  size_t most = 0, number = 0;
  for (const char c : header) {
    number = c >= '0' && c <= '9' ? std::min<size_t>(number * 10 + static_cast<size_t>(c - '0'), 1 << 20) : 0;
    if (number <= (1 << 16)) most = std::max(most, number);
  }
  return most;
}

void Read(const AdapterSource& source) {
  std::vector<std::byte> a, b;
  for (const LowRankChange& change : source.manifest().low_rank) {
    const auto tensors = source.ReadLowRank(change, a, b);
    if (!tensors.ok()) continue;
    GH_CHECK(tensors->a.shape == std::vector<int64_t>({change.rank, change.in}));
    GH_CHECK(tensors->b.shape == std::vector<int64_t>({change.out, change.rank}));
  }
  int layer = -1, expert = -2;
  for (const ReplacedFfn& ffn : source.manifest().replaced) {
    GH_CHECK(ffn.layer > layer || (ffn.layer == layer && ffn.expert > expert));
    layer = ffn.layer;
    expert = ffn.expert;
    const WeightRole role = expert < 0 ? WeightRole::kSharedGate : WeightRole::kExpertGate;
    (void)source.ReadReplaced({role, layer, expert}, a);
  }
}

void Open(bool peft, std::string_view config, std::string_view header) {
  static const TestFolder folder;
  static const std::string names[] = {"expert_cfg.json", "model.safetensors", "adapter_config.json",
                                      "adapter_model.safetensors"};
  for (const std::string& name : names) std::filesystem::remove(folder.Path(name));
  folder.Write(names[peft ? 2 : 0], std::string(config));
  folder.Write(names[peft ? 3 : 1],
               SafetensorsBytes(std::string(header), std::string(DataBytes(header), '\0')));
  const auto source = OpenAdapterFolder(folder.path(), Base());
  if (source.ok()) return Read(**source);
  GH_CHECK(source.status().code() != absl::StatusCode::kInternal);
  GH_CHECK(!source.status().message().empty());
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t between = text.find(kBetween);
  if (between == std::string_view::npos) return 0;
  const std::string_view config = text.substr(0, between), header = text.substr(between + kBetween.size());
  Open(config.find("peft") != std::string_view::npos, config, header);
  return 0;
}
