#include "model/packed_folder.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/align.h"
#include "base/crc32c.h"
#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_pool.h"
#include "checkpoint/model_folder.h"
#include "model/weight_plan.h"
#include "weights/pack_runner.h"

namespace guildhall {
namespace {

constexpr size_t kMaxManifestBytes = size_t{64} << 20;

template <typename... Parts>
absl::Status Damage(const PackedFolder& folder, std::string_view tensor, const Parts&... parts) {
  return absl::DataLossError(StrCat(folder.directory(), ": tensor ", tensor, ": ", parts...,
                                    ": write the folder again with guildhall quantize"));
}

}  // namespace

absl::Status CheckLayouts(const PackedFolder& folder, const Backend& backend) {
  for (const auto& [format, checksum] : folder.manifest().layouts) {
    if (LayoutChecksum(backend, format) == checksum) continue;
    const std::string &packed = folder.manifest().layout, served = backend.layout();
    const std::string packed_for = packed.substr(0, packed.find('/'));
    const std::string device = served.substr(0, served.find('/'));
    const bool cpu = device == "cpu";
    // A level of the same device may be chosen instead, or the other device.
    const std::string instead =
        packed_for != device ? StrCat(", choose device ", packed_for, " for it")
        : cpu ? StrCat(", choose cpu.isa ", packed.substr(packed.find('/') + 1), " if this machine has it")
              : "";
    return absl::FailedPreconditionError(StrCat(
        folder.directory(), ": ", WeightFormatName(format), " is packed in the layout ", packed, " by ",
        folder.manifest().tool, ", and this server reads ", served,
        ": quantize again for it (guildhall quantize --", cpu ? "isa " : "device ",
        cpu ? backend.level() : device, ")", instead, ", or serve the original folder with weights.*"));
  }
  return absl::OkStatus();
}

namespace {

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
  const auto differ = [&](const PackedItem& item, std::string_view what, auto expected, auto found) {
    return Damage(folder, item.name, "expected ", what, " ", expected, " by config.json, found ", found);
  };
  for (size_t i = 0; i < plan.items.size(); ++i) {
    const PackedItem& item = plan.items[i];
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

// Of what is read from the file at a time: it is still in a cache when its checksum is taken.
constexpr size_t kPieceBytes = size_t{256} << 10;

absl::Status CheckSum(const PackedFolder& folder, const PackedTensor& tensor, uint32_t sum) {
  if (sum == tensor.checksum) return absl::OkStatus();
  return Damage(folder, tensor.name, "its checksum differs from the manifest's: the file is damaged");
}

// Each item comes from the file, whose tensors are those of the plan, and its checksum is compared.
void ReadFromFile(const PackedFolder& folder, WeightPlan& plan) {
  for (size_t i = 0; i < plan.items.size(); ++i) {
    plan.items[i].fill = [&folder, &tensor = folder.manifest().tensors[i]](std::byte* place,
                                                                           PackScratch&) -> absl::Status {
      uint32_t sum = 0;
      for (size_t done = 0; done < tensor.bytes; done += kPieceBytes) {
        const std::span<std::byte> piece(place + done, std::min(tensor.bytes - done, kPieceBytes));
        GH_RETURN_IF_ERROR(folder.file()->ReadAt(tensor.offset + done, piece));
        sum = Crc32c(piece, sum);
      }
      return CheckSum(folder, tensor, sum);
    };
  }
}

// By reading, not through the mapping: a file that was cut meanwhile is then an error and no SIGBUS.
absl::Status VerifyFile(const PackedFolder& folder, const WeightPlan& plan, const PackControl& control) {
  return ForEachItem(plan.items, control, [&](const PackedItem& item, PackScratch& scratch) -> absl::Status {
    scratch[0].resize(std::min(item.bytes, kPieceBytes));
    uint32_t sum = 0;
    for (size_t done = 0; done < item.bytes; done += kPieceBytes) {
      const std::span<std::byte> piece(scratch[0].data(), std::min(item.bytes - done, kPieceBytes));
      GH_RETURN_IF_ERROR(folder.file()->ReadAt(item.offset + done, piece));
      sum = Crc32c(piece, sum);
    }
    return CheckSum(folder, folder.manifest().tensors[static_cast<size_t>(&item - plan.items.data())], sum);
  });
}

}  // namespace

uint32_t LayoutChecksum(const Backend& backend, WeightFormat format) {
  // More than one group of panels at every level, with a part of a panel and of a block at the ends; numbers
  // that every format holds exactly or nearly so.
  constexpr int64_t kOut = 9 * 16 + 5, kIn = 3 * kQuantBlock + 7;
  std::vector<float> values(static_cast<size_t>(kOut * kIn));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7919) % 16) - 8.0f;
  const TensorView view{DType::kF32, {kOut, kIn}, reinterpret_cast<const std::byte*>(values.data())};
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
  GH_RETURN_IF_ERROR(CheckNoStandIn(file));
  if (file.bytes().size() != folder->manifest_.bytes) {
    return absl::DataLossError(StrCat(file.path(), ": expected ", folder->manifest_.bytes, " bytes, found ",
                                      file.bytes().size(),
                                      ": the file was cut or replaced; write the folder again"));
  }
  folder->file_ = std::make_shared<const MappedFile>(std::move(file));
  return folder;
}

absl::Status CheckPackedTensors(const WeightSource& model, const PackedFolder& folder,
                                const Backend& backend) {
  StatedFormats stated(folder);
  DecoderWeights unused;
  const WeightPlan plan = PlanWeights(model, backend, stated.Rule(), nullptr, unused);
  GH_RETURN_IF_ERROR(stated.status());
  return ComparePlans(folder, plan);
}

absl::StatusOr<DecoderWeights> LoadPackedWeights(const WeightSource& model, const PackedLoad& load,
                                                 Backend& backend,
                                                 const std::function<void(size_t, size_t)>& progress) {
  const PackedFolder& folder = *load.folder;
  const MappedFile& file = *folder.file();
  GH_RETURN_IF_ERROR(CheckLayouts(folder, backend));
  GH_RETURN_IF_ERROR(CheckPackedTensors(model, folder, backend));
  DecoderWeights weights;
  StatedFormats stated(folder);
  if (load.map) {
    GH_ASSIGN_OR_RETURN(weights.watch, MappedWatch::Start(folder.file()));
    GH_ASSIGN_OR_RETURN(weights.memory, backend.memory().Bring(file.bytes(), folder.file(), "model weights"));
  } else {
    GH_ASSIGN_OR_RETURN(weights.memory, backend.memory().Allocate(file.bytes().size(), "model weights"));
  }
  std::byte* const home = weights.memory.data();
  WeightPlan plan = PlanWeights(model, backend, stated.Rule(), home, weights);
  const PackControl control{.threads = AllowedCpus(), .progress = progress};
  if (!load.map) {
    ReadFromFile(folder, plan);
    GH_RETURN_IF_ERROR(PackItems(plan.items, {&home, 1}, backend.memory(), control));
  } else if (load.verify) {
    GH_RETURN_IF_ERROR(VerifyFile(folder, plan, control));
  }
  GH_RETURN_IF_ERROR(file.CheckUnchanged());
  if (weights.watch != nullptr) GH_RETURN_IF_ERROR(weights.watch->Check());
  return weights;
}

}  // namespace guildhall
