#include "adapters/esft.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "adapters/esft_binder.h"
#include "adapters/esft_config.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"

namespace guildhall {
namespace {

constexpr std::string_view kConfigName = "expert_cfg.json";

class EsftSource final : public AdapterSource {
 public:
  EsftSource(std::unique_ptr<AdapterFiles> files, AdapterManifest manifest, EsftTensors tensors)
      : files_(std::move(files)), manifest_(std::move(manifest)), tensors_(std::move(tensors)) {}

  const AdapterManifest& manifest() const override { return manifest_; }
  absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const override {
    const auto at = tensors_.find(key);
    GH_CHECK(at != tensors_.end());
    return files_->Read(*at->second, scratch);
  }
  absl::StatusOr<TensorView> ReadReplacedRows(const WeightKey& key, int64_t begin, int64_t end,
                                              Scratch& scratch) const override {
    const auto at = tensors_.find(key);
    GH_CHECK(at != tensors_.end());
    return files_->Read(*at->second, scratch, begin, end);
  }
  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange&, Scratch&, Scratch&) const override {
    CheckFailed(__FILE__, __LINE__, "an ESFT adapter has no low-rank changes");
  }
  absl::Status CheckUnchanged() const override { return files_->CheckUnchanged(); }

 private:
  std::unique_ptr<AdapterFiles> files_;
  AdapterManifest manifest_;
  EsftTensors tensors_;
};

AdapterManifest MakeManifest(const ModelSpec& spec, const EsftBinder& binder, const AdapterFiles& files,
                             const EsftTensors& tensors) {
  AdapterManifest manifest;
  manifest.kind = "esft";
  const auto dtype = [&](WeightRole role, int layer, int expert) {
    return tensors.at({role, layer, expert})->dtype;
  };
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    if (tensors.contains({WeightRole::kSharedGate, layer})) {
      manifest.replaced.push_back({layer, -1, dtype(WeightRole::kSharedGate, layer, -1),
                                   dtype(WeightRole::kSharedUp, layer, -1),
                                   dtype(WeightRole::kSharedDown, layer, -1)});
    }
    const auto at = binder.found().experts.find(layer);
    if (at == binder.found().experts.end()) continue;
    for (const int expert : at->second) {
      manifest.replaced.push_back({layer, expert, dtype(WeightRole::kExpertGate, layer, expert),
                                   dtype(WeightRole::kExpertUp, layer, expert),
                                   dtype(WeightRole::kExpertDown, layer, expert)});
    }
  }
  manifest.file_bytes = files.TensorBytes();
  return manifest;
}

// What a user should know although it is served.
void AddNotes(const WeightSource& base, const EsftBinder& binder, const EsftTensors& tensors,
              AdapterManifest& manifest) {
  size_t wider = 0;
  for (const auto& [key, tensor] : tensors) {
    wider += DTypeSize(tensor->dtype) > DTypeSize(base.dtype(key)) ? 1 : 0;
  }
  if (wider > 0) {
    manifest.notes.push_back(
        StrCat(wider, " of ", tensors.size(), " tensors are F32 beside a base of 16 bits: kept as they are"));
  }
  const auto moe_layers = std::count_if(base.spec().layers.begin(), base.spec().layers.end(),
                                        [](const LayerSpec& layer) { return layer.moe; });
  if (binder.shared_layers() > 0 && binder.shared_layers() < moe_layers) {
    manifest.notes.push_back(StrCat("shared experts are replaced in ", binder.shared_layers(), " of ",
                                    moe_layers, " layers: the folder has no others"));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterSource>> OpenEsft(std::unique_ptr<AdapterFiles> files,
                                                        const WeightSource& base,
                                                        const AdapterFolderOptions& options) {
  const ModelSpec& spec = base.spec();
  const Family* family = FindFamily(spec.family);
  if (family == nullptr || !spec.moe()) {
    return absl::FailedPreconditionError(StrCat(files->directory(),
                                                ": an ESFT adapter replaces experts, and the base model (",
                                                spec.family, ") has none"));
  }
  std::optional<EsftConfig> config;
  const std::string path = !options.expert_config.empty() ? options.expert_config : std::string(kConfigName);
  if (!options.expert_config.empty() || files->Has(kConfigName)) {
    GH_ASSIGN_OR_RETURN(const Json json, files->OpenJson(path));
    GH_ASSIGN_OR_RETURN(config, ParseEsftConfig(json, path, spec, options.ignore_config_keys));
  }
  for (const std::string& name : files->TensorFileNames()) GH_RETURN_IF_ERROR(files->OpenTensors(name));

  EsftBinder binder(spec, *family, *files);
  auto tensors = binder.Run();
  if (binder.problems().empty() && config) binder.CheckConfig(*config, path);
  if (!binder.problems().empty()) return files->InFolder(binder.problems().ToStatus());
  if (tensors.empty()) {
    return files->InFolder(absl::InvalidArgumentError(
        "expected tensors of tuned experts, found none: the adapter changes nothing"));
  }
  AdapterManifest manifest = MakeManifest(spec, binder, *files, tensors);
  manifest.fingerprint = files->Fingerprint();
  if (!config) manifest.notes.push_back(StrCat(kConfigName, ": derived from the tensors"));
  AddNotes(base, binder, tensors, manifest);
  manifest.notes.insert(manifest.notes.end(), options.notes.begin(), options.notes.end());
  manifest.companion = options.companion;
  if (config) manifest.waived = std::move(config->waived);
  return std::make_unique<EsftSource>(std::move(files), std::move(manifest), std::move(tensors));
}

}  // namespace guildhall
