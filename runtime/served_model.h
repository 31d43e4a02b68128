// A model put together to be served: the base, the manager of its adapters' weights, and what is measured.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/adapter_folder.h"
#include "runtime/base_model.h"
#include "runtime/model_info.h"
#include "runtime/serve_profile.h"
#include "weights/weight_manager.h"

namespace guildhall {

struct ServedModelOptions {
  BaseModelOptions base;
  int load_threads = 2;                          // that pack an adapter
  absl::Duration room_wait = absl::Seconds(30);  // for memory that requests hold
  int64_t shut_off_after = 0;                    // as of AdapterFaults
  bool experts_as_base = false;                  // adapters' experts are packed in the base's formats
  bool profile = false;                          // sums of where the time goes
  std::string trace;                             // a file for the timeline; empty: none
};

// Owns all of it; engine and deployment go before it.
class ServedModel {
 public:
  // As LoadBaseModel.
  static absl::StatusOr<std::unique_ptr<ServedModel>> Load(const ServedModelOptions& options,
                                                           ModelFiles files, const PlanFunction& on_plan,
                                                           const ProgressFunction& progress);

  LanguageModel& model() { return *base_.decoder; }
  WeightManager& weights() { return *weights_; }
  const ModelSpec& spec() const { return base_.decoder->spec(); }
  const MemoryUse& memory() const { return base_.memory; }

  ModelInfo Info() const;
  std::vector<MemoryItem> MemoryItems() const;
  // As ::OpenAdapterFolder, checked against this base.
  absl::StatusOr<std::unique_ptr<AdapterSource>> OpenAdapter(const std::string& directory,
                                                             const AdapterFolderOptions& options) const;
  // Lets an engine take its KV blocks from the memory that it shares with adapters, and measures it.
  void AddTo(EngineOptions& options);
  // The profile; as ServeProfile::Report, after the engine has stopped.
  absl::Status Report() { return profile_.Report(); }

 private:
  explicit ServedModel(const ServedModelOptions& options)
      : path_(options.base.path),
        products_(options.base.backend.products),
        profile_(options.profile, options.trace) {}

  const std::string path_;
  const DeviceProducts products_;
  BaseModel base_;
  std::unique_ptr<WeightManager> weights_;
  ServeProfile profile_;  // goes before the back end that it measures
};

}  // namespace guildhall
