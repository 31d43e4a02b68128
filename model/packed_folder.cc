#include "model/packed_folder.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"
#include "model/weight_jobs.h"
#include "model/weight_plan.h"

namespace guildhall {
namespace {

constexpr size_t kMaxManifestBytes = size_t{64} << 20;

template <typename... Parts>
absl::Status Damage(const PackedFolder& folder, std::string_view tensor, const Parts&... parts) {
  return absl::DataLossError(StrCat(folder.directory(), ": tensor ", tensor, ": ", parts...,
                                    ": write the folder again with guildhall quantize"));
}

absl::Status CheckLayouts(const PackedFolder& folder, const Backend& backend) {
  for (const auto& [format, checksum] : folder.manifest().layouts) {
    if (LayoutChecksum(backend, format) == checksum) continue;
    return absl::FailedPreconditionError(
        StrCat(folder.directory(), ": ", WeightFormatName(format), " is packed for the level ",
               folder.manifest().isa, " by ", folder.manifest().tool, ", and ", backend.level(),
               " reads another layout: quantize again for this level (guildhall quantize --isa ",
               backend.level(), "), choose cpu.isa ", folder.manifest().isa,
               " if this machine has it, or serve the original folder with weights.*"));
  }
  return absl::OkStatus();
}

// The formats that the manifest states, by name; only such as a load would choose.
class StatedFormats {
 public:
  explicit StatedFormats(const PackedFolder& folder) : folder_(folder) {
    for (const PackedTensor& tensor : folder.manifest().tensors) by_name_[tensor.name] = &tensor;
  }

  FormatRule Rule() {
    return [this](const std::string& name, MatrixKind kind, std::span<const WeightKey>) {
      const auto found = by_name_.find(name);
      if (found == by_name_.end())
        return Refuse(Damage(folder_, name, "expected it in the manifest, found none"));
      const WeightFormat format = found->second->format;
      const auto asked = AskedFormat(folder_.manifest().formats, kind);
      if (asked ? format == *asked : !IsQuantized(format)) return format;
      return Refuse(Damage(folder_, name, "expected ", asked ? WeightFormatName(*asked) : "f32, bf16 or f16",
                           ", found ", WeightFormatName(format)));
    };
  }
  const absl::Status& status() const { return status_; }

 private:
  WeightFormat Refuse(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return WeightFormat::kF32;
  }

  const PackedFolder& folder_;
  std::unordered_map<std::string_view, const PackedTensor*> by_name_;
  absl::Status status_;
};

absl::Status ComparePlans(const PackedFolder& folder, const WeightPlan& plan) {
  const std::vector<PackedTensor>& tensors = folder.manifest().tensors;
  const auto differ = [&](const WeightItem& item, std::string_view what, auto expected, auto found) {
    return Damage(folder, item.name, "expected ", what, " ", expected, " by config.json, found ", found);
  };
  for (size_t i = 0; i < plan.items.size(); ++i) {
    const WeightItem& item = plan.items[i];
    if (i >= tensors.size()) return Damage(folder, item.name, "expected it in the manifest, found none");
    const PackedTensor& tensor = tensors[i];
    if (tensor.name != item.name) return differ(item, "the name", item.name, tensor.name);
    if (tensor.format != item.format)
      return differ(item, "format", WeightFormatName(item.format), WeightFormatName(tensor.format));
    if (tensor.out != item.out) return differ(item, "outputs", item.out, tensor.out);
    if (tensor.in != item.in) return differ(item, "inputs", item.in, tensor.in);
    if (tensor.offset != item.offset) return differ(item, "offset", item.offset, tensor.offset);
    if (tensor.bytes != item.bytes) return differ(item, "bytes", item.bytes, tensor.bytes);
  }
  if (tensors.size() > plan.items.size()) {
    return Damage(folder, tensors[plan.items.size()].name,
                  "expected no such tensor by config.json, found one");
  }
  if (plan.bytes != folder.manifest().bytes) {
    return absl::DataLossError(StrCat(folder.directory(), ": expected ", plan.bytes,
                                      " bytes of weights, found ", folder.manifest().bytes));
  }
  return absl::OkStatus();
}

// The checksum of a tensor in the file. By reading, not through the mapping: a file that was cut meanwhile is
// then an error and no SIGBUS.
absl::StatusOr<uint32_t> SumOfFile(const MappedFile& file, size_t offset, size_t bytes,
                                   std::vector<std::byte>& scratch) {
  constexpr size_t kPiece = size_t{1} << 20;
  scratch.resize(std::min(bytes, kPiece));
  uint32_t sum = 0;
  for (size_t done = 0; done < bytes; done += kPiece) {
    const std::span<std::byte> piece(scratch.data(), std::min(bytes - done, kPiece));
    GH_RETURN_IF_ERROR(file.ReadAt(offset + done, piece));
    sum = Crc32c(piece, sum);
  }
  return sum;
}

}  // namespace

uint32_t LayoutChecksum(const Backend& backend, WeightFormat format) {
  // More than one group of panels at every level, with a part of a panel and of a block at the ends; numbers
  // that every format holds exactly or nearly so.
  constexpr int64_t kOut = 9 * 16 + 5, kIn = 3 * kQuantBlock + 7;
  std::vector<float> values(static_cast<size_t>(kOut * kIn));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7919) % 16) - 8.0f;
  const TensorView view{DType::kF32, {kOut, kIn}, reinterpret_cast<const std::byte*>(values.data())};
  constexpr size_t kAlignment = 64;
  uint32_t checksum = 0;
  for (const bool gate_up : {false, true}) {
    const PackShape shape =
        gate_up ? PackShape::GateUp(format, kOut, kIn) : PackShape::Stack(format, kOut, kIn);
    const TensorView parts[] = {view, view};
    const size_t bytes = backend.PackedBytes(shape);
    std::vector<std::byte> memory(bytes + kAlignment);
    const size_t skip = (kAlignment - reinterpret_cast<uintptr_t>(memory.data()) % kAlignment) % kAlignment;
    std::byte* place = memory.data() + skip;
    backend.Pack(shape, {parts, gate_up ? size_t{2} : size_t{1}}, place);
    checksum = Crc32c({place, bytes}, checksum);
  }
  return checksum;
}

absl::StatusOr<std::unique_ptr<PackedFolder>> PackedFolder::Open(const std::string& directory) {
  auto folder = std::make_unique<PackedFolder>();
  folder->directory_ = directory;
  GH_ASSIGN_OR_RETURN(const std::string text,
                      ReadSmallFile(StrCat(directory, "/", kPackedManifestFile), kMaxManifestBytes));
  auto manifest = ParsePackedManifest(text);
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(), StrCat(directory, ": ", manifest.status().message()));
  }
  folder->manifest_ = *std::move(manifest);
  GH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(StrCat(directory, "/", kPackedWeightsFile)));
  if (file.bytes().size() != folder->manifest_.bytes) {
    return absl::DataLossError(StrCat(file.path(), ": expected ", folder->manifest_.bytes, " bytes, found ",
                                      file.bytes().size(),
                                      ": the file was cut or replaced; write the folder again"));
  }
  folder->file_ = std::make_shared<const MappedFile>(std::move(file));
  return folder;
}

absl::StatusOr<DecoderWeights> LoadPackedWeights(const WeightSource& model, const PackedLoad& load,
                                                 const Backend& backend,
                                                 const std::function<void(size_t, size_t)>& progress) {
  const PackedFolder& folder = *load.folder;
  const MappedFile& file = *folder.file();
  GH_RETURN_IF_ERROR(CheckLayouts(folder, backend));
  DecoderWeights weights;
  StatedFormats stated(folder);
  {
    DecoderWeights unused;
    const WeightPlan plan = PlanWeights(model, backend, stated.Rule(), nullptr, unused);
    GH_RETURN_IF_ERROR(stated.status());
    GH_RETURN_IF_ERROR(ComparePlans(folder, plan));
  }
  const std::byte* memory = file.bytes().data();
  std::byte* copy = nullptr;
  if (!load.map) {
    GH_ASSIGN_OR_RETURN(weights.memory, Buffer::Allocate(file.bytes().size(), "model weights"));
    memory = copy = weights.memory.data();
  } else {
    weights.mapping = folder.file();
  }
  const WeightPlan plan = PlanWeights(model, backend, stated.Rule(), memory, weights);
  const std::vector<PackedTensor>& tensors = folder.manifest().tensors;
  const auto read = [&](const WeightItem& item, WeightScratch& scratch) -> absl::Status {
    const PackedTensor& tensor = tensors[static_cast<size_t>(&item - plan.items.data())];
    uint32_t sum = 0;
    if (copy == nullptr) {
      GH_ASSIGN_OR_RETURN(sum, SumOfFile(file, item.offset, item.bytes, scratch[0]));
    } else {
      const std::span<std::byte> place(copy + item.offset, item.bytes);
      GH_RETURN_IF_ERROR(file.ReadAt(item.offset, place));
      sum = Crc32c(place);
    }
    if (sum == tensor.checksum) return absl::OkStatus();
    return Damage(folder, tensor.name, "its checksum differs from the manifest's: the file is damaged");
  };
  if (copy != nullptr || load.verify) GH_RETURN_IF_ERROR(ForEachWeight(plan, read, progress));
  GH_RETURN_IF_ERROR(file.CheckUnchanged());
  return weights;
}

}  // namespace guildhall
