#include "weights/weight_manager.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {

WeightManager::Impl::Impl(const ModelSpec& model, Backend& device, const std::vector<BaseExperts>& base,
                          const std::shared_ptr<ByteBudget>& shared_budget,
                          std::shared_ptr<StepWorkspace> step_workspace,
                          const WeightManagerOptions& manager_options, PageMemory& pages)
    : spec(model),
      backend(device),
      budget(shared_budget),
      options(manager_options),
      faults(manager_options.shut_off_after),
      workspace(std::move(step_workspace)),
      memory(pages, shared_budget, AdapterRanges(model)),
      slots(base),
      reclaimer([this](ReclaimItem* item) { Reclaim(item); },
                [this] {
                  const std::lock_guard lock(mutex);
                  NotifyChanged();
                }) {
  GH_CHECK_EQ(base.size(), model.layers.size());
  if (workspace->reserved().slots < slots.max_slots()) {
    GH_CHECK(workspace->Reserve({.slots = slots.max_slots(), .rows = 0, .columns = 0}).ok());
  }
  workspace->ChargeTo(budget);
  {
    const std::lock_guard lock(mutex);
    GH_CHECK(PublishTables().ok());  // some kilobytes
  }
  // The KV cache's thread takes no lock: the reclaim thread tells whoever waits.
  budget->OnKvGave([queue = reclaimer.queue()] { queue->Wake(); });
  loader = std::thread([this] { RunLoads(); });
}

WeightManager::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    book.CancelAll();
    NotifyChanged();
  }
  loader.join();
  budget->OnKvGave(nullptr);
  AwaitFreed();
  const std::lock_guard lock(mutex);
  book.Clear();
}

WorkspaceNeed WeightManager::Impl::Need() const {
  const bool kv_b = coming.kv_b || book.AnyChangesKvB();
  WorkspaceNeed need{.slots = slots.max_slots() + coming.slots,
                     .rows = 0,
                     .columns = std::max(coming.rank_columns, book.MostRankColumns())};
  if (need.columns == 0) return need;
  need.rows = options.max_rows * std::max<int64_t>({1, spec.gate.k, kv_b ? spec.attention.heads : 0});
  return need;
}

absl::Status WeightManager::Impl::PublishTables() {
  GH_RETURN_IF_ERROR(workspace->Reserve(Need()));
  GH_ASSIGN_OR_RETURN(auto made, MakeExpertTables(slots.Tables(), backend.memory()));
  {
    const std::lock_guard lock(tables_mutex);
    std::swap(tables, made);
  }
  previous_tables = std::move(made);
  return absl::OkStatus();
}

void WeightManager::Impl::NotifyChanged() {
  ++changes;
  changed.notify_all();
}

WeightManager::WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                             std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                             const WeightManagerOptions& options)
    : WeightManager(spec, backend, base, std::move(budget), std::move(workspace), options,
                    backend.memory().pages()) {}

WeightManager::WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                             std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                             const WeightManagerOptions& options, PageMemory& pages)
    : impl_(std::make_unique<Impl>(spec, backend, base, budget, std::move(workspace), options, pages)) {}

WeightManager::~WeightManager() = default;

absl::StatusOr<AdapterInfo> WeightManager::Load(const LoadRequest& request) {
  return impl_->Load(request);
}

absl::StatusOr<UnloadResult> WeightManager::Unload(const std::string& name,
                                                   std::optional<uint64_t> expected_version,
                                                   absl::Duration wait) {
  return impl_->Unload(name, expected_version, wait);
}

absl::Status WeightManager::Pin(const std::string& name, bool pinned) {
  return impl_->Pin(name, pinned);
}

std::vector<AdapterInfo> WeightManager::List() const {
  return impl_->List();
}

absl::StatusOr<AdapterInfo> WeightManager::Info(const std::string& name) const {
  return impl_->Info(name);
}

absl::Status WeightManager::CheckTogether(std::span<const AdapterUse> uses) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->book.CheckTogether(uses);
}

std::shared_ptr<const AdapterChanges> WeightManager::Changes(const std::string& name) const {
  const std::lock_guard lock(impl_->mutex);
  const auto version = impl_->book.Serving(name);
  return version.ok() ? (*version)->changes : nullptr;
}

std::shared_ptr<const AdapterCompanion> WeightManager::Companion(const std::string& name) const {
  const std::lock_guard lock(impl_->mutex);
  const auto version = impl_->book.Serving(name);
  return version.ok() ? (*version)->companion : nullptr;
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> WeightManager::Acquire(std::span<const AdapterUse> uses,
                                                                         absl::Time deadline) {
  return impl_->Acquire(uses, {.deadline = deadline});
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> WeightManager::Acquire(std::span<const AdapterUse> uses,
                                                                         const WorkLimit& limit) {
  return impl_->Acquire(uses, limit);
}

std::shared_ptr<const ExpertTables> WeightManager::Tables() const {
  const std::lock_guard lock(impl_->tables_mutex);
  return impl_->tables;
}

AdapterFaults& WeightManager::faults() const {
  return impl_->faults;
}

ByteBudget& WeightManager::budget() {
  return *impl_->budget;
}

uint64_t WeightManager::mapped_bytes() const {
  return impl_->memory.mapped_bytes();
}

void WeightManager::AwaitFreed() {
  impl_->AwaitFreed();
}

}  // namespace guildhall
