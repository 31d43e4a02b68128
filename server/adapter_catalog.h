// The server's door to its adapters: names, paths and errors as clients see them, the weights behind.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/adapter_folder.h"
#include "config/server_config.h"
#include "runtime/adapter_text.h"
#include "server/adapter_roots.h"
#include "weights/weight_manager.h"

namespace guildhall {

// OpenAdapterFolder with the base bound.
using OpenFolder = std::function<absl::StatusOr<std::unique_ptr<AdapterSource>>(
    const std::string& directory, const AdapterFolderOptions& options)>;

struct AdapterLoad {
  AdapterConfig adapter;
  std::optional<uint64_t> expected_version;                     // unset or 0: the name must be free
  bool replace = false;                                         // whatever is there
  std::function<void(uint64_t done, uint64_t total)> progress;  // as of LoadRequest, and the next one too
  std::stop_token cancel;
  // May be empty. Before the load reads any weights, once, on a loader thread; an error ends the load.
  std::function<absl::Status(const AdapterManifest&)> check;
};

// What adapters.ignore_config_keys lists beside `waived`, which the configured adapters needed; a line each.
std::vector<std::string> IdleWaivers(const AdaptersConfig& config, const std::set<std::string>& waived);

// Thread-safe. Errors carry google.rpc details, name the adapter and no path of this machine.
class AdapterCatalog {
 public:
  // `weights` outlives the catalog; null: no adapters are served, and whoever asks for one is told so. What
  // `text` points to outlives it too.
  AdapterCatalog(const AdaptersConfig& config, AdapterRoots roots, WeightManager* weights, OpenFolder open,
                 AdapterTextRules text)
      : config_(config),
        roots_(std::move(roots)),
        weights_(weights),
        open_(std::move(open)),
        text_(std::move(text)) {}

  // Blocks until it is served or has failed: as WeightManager::Load, and the errors of AdapterRoots.
  absl::StatusOr<AdapterInfo> Load(const AdapterLoad& load) const;
  // What the folder says of itself, without weights and without a weight manager. Errors as Load.
  absl::StatusOr<AdapterManifest> Manifest(const AdapterConfig& adapter) const;
  absl::StatusOr<UnloadResult> Unload(const std::string& name, std::optional<uint64_t> expected_version,
                                      absl::Duration wait) const;
  absl::StatusOr<AdapterInfo> Pin(const std::string& name, bool pinned) const;
  std::vector<AdapterInfo> List() const;  // by name
  absl::StatusOr<AdapterInfo> Info(const std::string& name) const;
  // Of the version that serves under the name; null: there is none.
  std::shared_ptr<const AdapterChanges> Changes(const std::string& name) const;
  // The text side of the version that serves under the name of the only one of `uses`; null: there are none
  // or several, or none serves.
  std::shared_ptr<const AdapterText> Text(std::span<const AdapterUse> uses) const;
  // That of the version that was acquired, by the same rule; null for a null set.
  static std::shared_ptr<const AdapterText> Text(const AdapterSet* set);

  // What a request of a task is served with; null for none. Waits for a load until `deadline`, at most
  // adapters.load_wait_s, and gives up when `cancelled` says so. NOT_FOUND, UNAVAILABLE (still loading),
  // FAILED_PRECONDITION (over budget, on disk where that is not loaded again, adapters that do not go
  // together), DEADLINE_EXCEEDED, CANCELLED.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            absl::Time deadline,
                                                            const std::function<bool()>& cancelled) const;
  // INVALID_ARGUMENT when the adapters do not go together, as far as they are loaded. Reads no weights.
  absl::Status CheckTogether(std::span<const AdapterUse> uses) const;

  // Null without weights.
  const ByteBudget* budget() const;
  // For the log: "2 resident, 1 on disk, 3.0 MiB of the 64.0 MiB that they share with the KV cache".
  std::string Summary() const;

 private:
  // `text`: of an earlier opening for the same version; null: it is read.
  absl::StatusOr<std::unique_ptr<AdapterSource>> OpenSource(
      const AdapterConfig& adapter, const std::shared_ptr<const AdapterCompanion>& text) const;
  absl::Status CheckPaths(const AdapterConfig& adapter) const;
  absl::Status CheckResident(std::span<const AdapterUse> uses) const;
  absl::Status Outside(absl::Status status, const std::string& name) const;
  absl::Status OfRequest(absl::Status status, std::span<const AdapterUse> uses, absl::Time deadline) const;

  const AdaptersConfig config_;
  const AdapterRoots roots_;
  WeightManager* const weights_;
  const OpenFolder open_;
  const AdapterTextRules text_;
};

}  // namespace guildhall
