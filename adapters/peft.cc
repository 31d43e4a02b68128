#include "adapters/peft.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/base_copies.h"
#include "adapters/factor_reader.h"
#include "adapters/peft_binder.h"
#include "adapters/peft_config.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::string_view kConfigName = "adapter_config.json", kTensorsName = "adapter_model.safetensors";

class PeftSource final : public AdapterSource {
 public:
  PeftSource(std::unique_ptr<AdapterFiles> files, const WeightSource& base, AdapterManifest manifest,
             std::map<WeightKey, LowRankPlace> places)
      : files_(std::move(files)),
        reader_(*files_, base),
        manifest_(std::move(manifest)),
        places_(std::move(places)) {}

  const AdapterManifest& manifest() const override { return manifest_; }
  absl::StatusOr<TensorView> ReadReplaced(const WeightKey&, Scratch&) const override {
    CheckFailed(__FILE__, __LINE__, "a PEFT adapter replaces no experts");
  }
  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange& change, Scratch& a,
                                             Scratch& b) const override {
    const auto at = places_.find(change.key);
    GH_CHECK(at != places_.end());
    return reader_.Read(change, at->second, a, b);
  }
  absl::Status CheckUnchanged() const override { return files_->CheckUnchanged(); }

 private:
  std::unique_ptr<AdapterFiles> files_;
  FactorReader reader_;
  AdapterManifest manifest_;
  std::map<WeightKey, LowRankPlace> places_;
};

// One file of tensors, by PEFT's name: whatever else lies there might be a part of the adapter.
absl::Status OpenOnlyTensors(AdapterFiles& files) {
  for (const std::string& name : files.TensorFileNames()) {
    if (name == kTensorsName) continue;
    return absl::FailedPreconditionError(StrCat("expected ", kTensorsName, " alone beside ", kConfigName,
                                                ", found ", Quote(name),
                                                " too: one folder holds one adapter"));
  }
  if (!files.Has(kTensorsName)) {
    return absl::FailedPreconditionError(
        StrCat("expected ", kTensorsName, " beside ", kConfigName, ", found no such file",
               files.Has("adapter_model.bin") ? " (but adapter_model.bin): save it as safetensors" : ""));
  }
  return files.OpenTensors(std::string(kTensorsName));
}

absl::Status CheckBaseName(const PeftConfig& config, const std::string& required) {
  if (required.empty() || config.base_name.empty() || config.base_name == required) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(kConfigName, ": base_model_name_or_path: expected ", Quote(required), ", found ",
             Quote(config.base_name), ": the server is configured to refuse adapters of another base"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterSource>> OpenPeft(std::unique_ptr<AdapterFiles> files,
                                                        const WeightSource& base,
                                                        const AdapterFolderOptions& options) {
  GH_ASSIGN_OR_RETURN(const Json json, files->OpenJson(std::string(kConfigName)));
  const std::string what(kConfigName);
  auto config = ParsePeftConfig(json, what, options.ignore_config_keys);
  if (!config.ok()) return files->InFolder(config.status());
  for (const absl::Status& status :
       {CheckBaseName(*config, options.required_base_name), OpenOnlyTensors(*files)}) {
    if (!status.ok()) return files->InFolder(status);
  }
  auto binding = BindPeft(*config, what, *files, base, options.max_rank);
  if (!binding.ok()) return files->InFolder(binding.status());

  AdapterManifest manifest;
  manifest.kind = config->dora ? "dora" : "lora";
  manifest.base_name = config->base_name;
  manifest.notes = std::move(binding->notes);
  manifest.notes.insert(manifest.notes.end(), options.notes.begin(), options.notes.end());
  manifest.companion = options.companion;
  manifest.waived = std::move(config->waived);
  for (const BaseCopy& copy : binding->copies) {
    GH_RETURN_IF_ERROR(CheckBaseCopy(copy, *files, base));
    manifest.notes.push_back(StrCat(copy.tensor->entry->name, ": the base's own, ignored"));
  }
  std::map<WeightKey, LowRankPlace> places;
  for (PlacedChange& placed : binding->changes) {
    places.emplace(placed.change.key, placed.place);
    manifest.low_rank.push_back(std::move(placed.change));
  }
  manifest.file_bytes = files->TensorBytes();
  manifest.fingerprint = files->Fingerprint();
  return std::make_unique<PeftSource>(std::move(files), base, std::move(manifest), std::move(places));
}

}  // namespace guildhall
