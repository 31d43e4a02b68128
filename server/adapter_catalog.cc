#include "server/adapter_catalog.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/format_bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/names.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr absl::Duration kRetryOfLoad = absl::Seconds(2);

absl::Status NoWeights() {
  return PreconditionError("ADAPTERS", "server", "this server serves no adapters");
}

std::string Names(std::span<const AdapterUse> uses) {
  std::string names;
  for (const AdapterUse& use : uses) StrAppend(&names, names.empty() ? "" : ", ", use.name);
  return names;
}

}  // namespace

std::vector<std::string> IdleWaivers(const AdaptersConfig& config, const std::set<std::string>& waived) {
  std::vector<std::string> lines;
  if (config.preload.empty()) return lines;
  for (const std::string& key : config.ignore_config_keys) {
    if (waived.contains(key)) continue;
    lines.push_back(
        StrCat("adapters.ignore_config_keys: ", Quote(key), ": no adapter of adapters.preload needs it"));
  }
  return lines;
}

absl::StatusOr<std::unique_ptr<AdapterSource>> AdapterCatalog::OpenSource(
    const AdapterConfig& adapter, const std::shared_ptr<const AdapterCompanion>& text) const {
  GH_ASSIGN_OR_RETURN(const RootedPath folder, roots_.Folder(adapter.path));
  RootedPath expert_config;
  AdapterFolderOptions options;
  options.required_base_name = config_.require_base_name;
  options.max_rank = config_.max_rank;
  options.ignore_config_keys = config_.ignore_config_keys;
  if (!adapter.expert_config.empty()) {
    GH_ASSIGN_OR_RETURN(expert_config, roots_.File(adapter.expert_config));
    options.expert_config = expert_config.path();
  }
  options.companion =
      text != nullptr ? text : std::make_shared<const AdapterText>(ReadAdapterText(folder.path(), text_));
  options.notes = TextOf(options.companion)->notes;
  for (std::string& note : options.notes) note = roots_.Hide(std::move(note));
  GH_ASSIGN_OR_RETURN(auto source, open_(folder.path(), options));
  // What was opened is what was allowed: nobody has put a link in its place meanwhile.
  GH_RETURN_IF_ERROR(folder.CheckStill());
  if (!adapter.expert_config.empty()) GH_RETURN_IF_ERROR(expert_config.CheckStill());
  return source;
}

// Before the weight manager is asked: the client's own mistakes, with the field.
absl::Status AdapterCatalog::CheckPaths(const AdapterConfig& adapter) const {
  if (!ValidAdapterName(adapter.name)) {
    return FieldError("name", StrCat(kAdapterNameRule, ", found ", Quote(adapter.name, 150)));
  }
  const auto check = [](const absl::Status& status, const char* field) {
    if (!absl::IsInvalidArgument(status)) return status;
    return FieldError(field, std::string(status.message()));
  };
  GH_RETURN_IF_ERROR(check(roots_.Folder(adapter.path).status(), "path"));
  if (adapter.expert_config.empty()) return absl::OkStatus();
  return check(roots_.File(adapter.expert_config).status(), "expert_config");
}

absl::StatusOr<AdapterInfo> AdapterCatalog::Load(const AdapterLoad& load) const {
  if (weights_ == nullptr) return NoWeights();
  const AdapterConfig& adapter = load.adapter;
  GH_RETURN_IF_ERROR(CheckPaths(adapter));
  LoadRequest request;
  request.name = adapter.name;
  request.source = adapter.path;
  // After an eviction it is opened again, but the check is of this call, and the text of this version.
  struct First {
    decltype(load.check) check;
    std::shared_ptr<const AdapterCompanion> text;
  };
  const auto first = std::make_shared<First>(First{.check = load.check, .text = nullptr});
  request.open = [this, adapter, first]() -> absl::StatusOr<std::unique_ptr<AdapterSource>> {
    GH_ASSIGN_OR_RETURN(auto source, OpenSource(adapter, first->text));
    first->text = source->manifest().companion;
    const auto check = std::exchange(first->check, nullptr);
    if (check) GH_RETURN_IF_ERROR(check(source->manifest()));
    return source;
  };
  request.pin = adapter.pin;
  request.expected_version = load.expected_version;
  request.replace = load.replace;
  request.progress = load.progress;
  request.cancel = load.cancel;
  auto info = weights_->Load(request);
  if (info.ok()) return info;
  absl::Status status = Outside(info.status(), adapter.name);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
      return WithField(std::move(status), "path");
    case absl::StatusCode::kFailedPrecondition:
      return WithPrecondition(std::move(status), "ADAPTER", adapter.name);
    case absl::StatusCode::kUnavailable:
      return WithRetry(std::move(status), kRetryOfLoad);
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return WithResource(std::move(status), "adapter", adapter.name);
    default:
      return status;
  }
}

absl::StatusOr<AdapterManifest> AdapterCatalog::Manifest(const AdapterConfig& adapter) const {
  GH_RETURN_IF_ERROR(CheckPaths(adapter));
  const auto source = OpenSource(adapter, nullptr);
  if (!source.ok()) return Outside(source.status(), adapter.name);
  return (*source)->manifest();
}

absl::StatusOr<UnloadResult> AdapterCatalog::Unload(const std::string& name,
                                                    std::optional<uint64_t> expected_version,
                                                    absl::Duration wait) const {
  if (weights_ == nullptr) return MissingResource("adapter", name);
  auto result = weights_->Unload(name, expected_version, wait);
  if (result.ok()) return result;
  if (absl::IsNotFound(result.status())) return MissingResource("adapter", name);
  absl::Status status = Outside(result.status(), name);
  if (absl::IsFailedPrecondition(status)) {
    return WithPrecondition(std::move(status), "ADAPTER_IN_USE", name);
  }
  return WithResource(std::move(status), "adapter", name);
}

absl::StatusOr<AdapterInfo> AdapterCatalog::Pin(const std::string& name, bool pinned) const {
  if (weights_ == nullptr) return MissingResource("adapter", name);
  const absl::Status status = weights_->Pin(name, pinned);
  if (absl::IsNotFound(status)) return MissingResource("adapter", name);
  if (absl::IsUnavailable(status)) return WithRetry(Outside(status, name), kRetryOfLoad);
  if (!status.ok()) return WithPrecondition(Outside(status, name), "ADAPTER", name);
  return Info(name);
}

std::vector<AdapterInfo> AdapterCatalog::List() const {
  return weights_ == nullptr ? std::vector<AdapterInfo>() : weights_->List();
}

absl::StatusOr<AdapterInfo> AdapterCatalog::Info(const std::string& name) const {
  if (weights_ == nullptr) return MissingResource("adapter", name);
  auto info = weights_->Info(name);
  if (!info.ok()) return MissingResource("adapter", name);
  return info;
}

std::shared_ptr<const AdapterChanges> AdapterCatalog::Changes(const std::string& name) const {
  return weights_ == nullptr ? nullptr : weights_->Changes(name);
}

std::shared_ptr<const AdapterText> AdapterCatalog::Text(std::span<const AdapterUse> uses) const {
  const bool one = weights_ != nullptr && uses.size() == 1;
  return one ? TextOf(weights_->Companion(uses.front().name)) : nullptr;
}

std::shared_ptr<const AdapterText> AdapterCatalog::Text(const AdapterSet* set) {
  return set != nullptr && set->members.size() == 1 ? TextOf(set->members.front().companion) : nullptr;
}

absl::Status AdapterCatalog::CheckResident(std::span<const AdapterUse> uses) const {
  if (config_.allow_on_demand) return absl::OkStatus();
  for (const AdapterUse& use : uses) {
    const auto info = weights_->Info(use.name);
    if (!info.ok() || info->tier == AdapterTier::kResident || info->state != AdapterState::kReady) continue;
    return PreconditionError("ADAPTER", use.name,
                             StrCat("adapter ", use.name,
                                    " is not in memory, and the server loads none for a request "
                                    "(adapters.allow_on_demand): pin it, or load it again"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> AdapterCatalog::Acquire(
    std::span<const AdapterUse> uses, absl::Time deadline, const std::function<bool()>& cancelled) const {
  if (uses.empty()) return nullptr;
  if (weights_ == nullptr) return NoWeights();
  GH_RETURN_IF_ERROR(CheckResident(uses));
  const absl::Time until = std::min(deadline, absl::Now() + absl::Seconds(config_.load_wait_s));
  auto set = weights_->Acquire(uses, {until, cancelled});
  if (set.ok()) return set;
  return OfRequest(set.status(), uses, deadline);
}

absl::Status AdapterCatalog::CheckTogether(std::span<const AdapterUse> uses) const {
  if (uses.empty() || weights_ == nullptr) return absl::OkStatus();
  const absl::Status status = weights_->CheckTogether(uses);
  return status.ok() ? status : Outside(status, uses[0].name);
}

const ByteBudget* AdapterCatalog::budget() const {
  return weights_ == nullptr ? nullptr : &weights_->budget();
}

std::string AdapterCatalog::Summary() const {
  if (weights_ == nullptr) return "none are served";
  int resident = 0, on_disk = 0;
  for (const AdapterInfo& info : weights_->List()) {
    if (info.state == AdapterState::kLoading) continue;
    ++(info.tier == AdapterTier::kResident ? resident : on_disk);
  }
  const ByteBudget& shared = weights_->budget();
  return StrCat(resident, " resident, ", on_disk, " on disk, ",
                FormatBytes(shared.used(ByteBudget::Holder::kAdapters)), " of the ",
                FormatBytes(shared.total()), " that they share with the KV cache");
}

// Named, and without this machine's paths.
absl::Status AdapterCatalog::Outside(absl::Status status, const std::string& name) const {
  std::string message = roots_.Hide(std::string(status.message()));
  if (message.find(name) == std::string::npos) message = StrCat("adapter ", name, ": ", message);
  return WithMessage(status, message);
}

absl::Status AdapterCatalog::OfRequest(absl::Status status, std::span<const AdapterUse> uses,
                                       absl::Time deadline) const {
  const std::string names = Names(uses);
  status = Outside(std::move(status), uses[0].name);
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      if (absl::Now() >= deadline) return status;
      return WithRetry(
          absl::UnavailableError(StrCat("adapter ", names, ": still loading after ", config_.load_wait_s,
                                        " s (", status.message(), "); try again")),
          kRetryOfLoad);
    case absl::StatusCode::kNotFound:
      for (const AdapterUse& use : uses) {
        const auto info = weights_->Info(use.name);
        if (!info.ok()) return MissingResource("adapter", use.name);
        if (info->state == AdapterState::kLoading) {
          return WithRetry(absl::UnavailableError(StrCat("adapter ", use.name, ": it is being loaded")),
                           kRetryOfLoad);
        }
      }
      Log().error("adapter {}: it was evicted and cannot be loaded again: {}", names,
                  std::string(status.message()));
      return PreconditionError(
          "ADAPTER", names,
          StrCat("adapter ", names, ": it was evicted, and its files are not there any more"));
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
      // Not this request's mistake, and the same one will fail again until somebody mends the adapter.
      return PreconditionError("ADAPTER", names, std::string(status.message()));
    case absl::StatusCode::kFailedPrecondition:
      return WithPrecondition(std::move(status), "ADAPTER", names);
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return WithRetry(std::move(status), kRetryOfLoad);
    default:
      return status;
  }
}

}  // namespace guildhall
