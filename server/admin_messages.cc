#include "server/admin_messages.h"

#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/keys.h"
#include "config/names.h"
#include "config/task_adapters.h"
#include "server/error_details.h"
#include "server/proto_time.h"
#include "server/sampling_messages.h"

namespace guildhall {
namespace {

constexpr int64_t kMaxWaitSeconds = 86400;
constexpr size_t kMaxDescriptionBytes = 4096;
constexpr size_t kMaxPromptBytes = size_t{1} << 20;

v1::AdapterInfo::State StateOf(AdapterState state) {
  switch (state) {
    case AdapterState::kLoading:
      return v1::AdapterInfo::STATE_LOADING;
    case AdapterState::kReady:
      return v1::AdapterInfo::STATE_READY;
    case AdapterState::kDraining:
      return v1::AdapterInfo::STATE_DRAINING;
  }
  return v1::AdapterInfo::STATE_UNSPECIFIED;
}

v1::AdapterInfo::Tier TierOf(AdapterTier tier) {
  switch (tier) {
    case AdapterTier::kDisk:
      return v1::AdapterInfo::TIER_DISK;
    case AdapterTier::kResident:
      return v1::AdapterInfo::TIER_RESIDENT;
  }
  return v1::AdapterInfo::TIER_UNSPECIFIED;
}

// Values of a message, each under the key that it has in the configuration file.
class Values {
 public:
  explicit Values(TaskConfig& task) : task_(task) {}

  void Take(const char* key, Json value) {
    if (!status_.ok()) return;
    for (const auto& known : TaskKeys()) {
      if (known.path != key) continue;
      const std::string field = StrCat("task.", key);
      const absl::Status assigned = known.Assign(value, field, task_);
      if (!assigned.ok()) status_ = WithField(assigned, field);
      return;
    }
    status_ = absl::InternalError(StrCat("task.", key, ": there is no such key"));
  }

  absl::Status status() const { return status_; }

 private:
  TaskConfig& task_;
  absl::Status status_;
};

Json AdaptersJson(const v1::TaskDefinition& from) {
  Json list = Json::array();
  for (const auto& use : from.adapters()) {
    Json adapter = Json::object({{"name", use.name()}});
    if (use.has_scale()) adapter["scale"] = Decimal(use.scale());
    list.push_back(std::move(adapter));
  }
  return list;
}

absl::StatusOr<PartialSampling> ReadTaskSampling(const v1::SamplingOptions& from) {
  if (from.has_seed() || from.logit_bias_size() > 0) {
    return FieldError(from.has_seed() ? "task.sampling.seed" : "task.sampling.logit_bias",
                      "a task has no default for it: send it with each request");
  }
  return ReadSampling(from, "task.sampling");
}

void TakeSpeculation(const v1::SpeculationOptions& from, Values& values) {
  if (from.has_max_draft_tokens()) values.Take("speculation.max_draft_tokens", from.max_draft_tokens());
  if (from.has_min_ngram()) values.Take("speculation.min_ngram", from.min_ngram());
  if (from.has_max_ngram()) values.Take("speculation.max_ngram", from.max_ngram());
}

absl::Status CheckSizes(const v1::TaskDefinition& from) {
  if (!ValidTaskId(from.id())) {
    return FieldError("task.id", StrCat(kTaskIdRule, ", found ", Quote(from.id(), 150)));
  }
  if (from.description().size() > kMaxDescriptionBytes) {
    return FieldError("task.description", StrCat("expected at most ", kMaxDescriptionBytes, " bytes, found ",
                                                 from.description().size()));
  }
  if (from.system_prompt().size() > kMaxPromptBytes) {
    return FieldError("task.system_prompt", StrCat("expected at most ", kMaxPromptBytes, " bytes, found ",
                                                   from.system_prompt().size()));
  }
  if (static_cast<size_t>(from.adapters_size()) > kMaxTaskAdapters) {
    return FieldError("task.adapters",
                      StrCat("expected at most ", kMaxTaskAdapters, ", found ", from.adapters_size()));
  }
  return absl::OkStatus();
}

}  // namespace

void FillAdapterUses(std::span<const AdapterUse> from,
                     google::protobuf::RepeatedPtrField<v1::AdapterUse>& to) {
  for (const AdapterUse& use : from) {
    v1::AdapterUse& out = *to.Add();
    out.set_name(use.name);
    out.set_scale(use.scale);
  }
}

void FillAdapter(const AdapterInfo& from, const std::vector<std::string>& tasks, v1::AdapterInfo& to) {
  to.set_name(from.name);
  to.set_version(from.version);
  to.set_state(StateOf(from.state));
  to.set_tier(TierOf(from.tier));
  to.set_kind(from.kind);
  to.set_base_name(from.base_name);
  to.set_path(from.source);
  to.set_pinned(from.pinned);
  to.set_tensor_bytes(from.tensor_bytes);
  to.set_mapped_bytes(from.mapped_bytes);
  to.set_readers(from.readers);
  const auto known = [](absl::Time time) {
    return time > absl::UnixEpoch() && time < absl::InfiniteFuture();
  };
  if (known(from.loaded_at)) SetTimestamp(from.loaded_at, *to.mutable_loaded_at());
  if (known(from.last_used)) SetTimestamp(from.last_used, *to.mutable_last_used());
  to.set_load_seconds(from.load_seconds);
  to.set_progress(from.progress);
  to.set_layers(from.layers);
  to.set_experts(from.experts);
  to.set_low_rank_modules(from.low_rank_modules);
  for (const std::string& note : from.notes) to.add_notes(note);
  to.set_faults(from.faults);
  to.set_consecutive_faults(from.consecutive_faults);
  to.set_last_fault(from.last_fault);
  to.set_shut_off(from.shut_off);
  for (const std::string& task : tasks) to.add_tasks(task);
}

void FillBudget(const ByteBudget& budget, std::span<const AdapterInfo> adapters, v1::MemoryBudget& to) {
  to.set_total(budget.total());
  to.set_kv_cache(budget.used(ByteBudget::Holder::kKvCache));
  to.set_adapters(budget.used(ByteBudget::Holder::kAdapters));
  uint64_t pinned = 0;
  for (const AdapterInfo& adapter : adapters) pinned += adapter.pinned ? adapter.mapped_bytes : 0;
  to.set_pinned(pinned);
}

absl::StatusOr<absl::Duration> ReadDuration(const google::protobuf::Duration& from, const char* field) {
  if (from.seconds() < 0 || from.seconds() > kMaxWaitSeconds || from.nanos() < 0 ||
      from.nanos() > 999'999'999) {
    return FieldError(field, StrCat("expected a duration from 0 s to ", kMaxWaitSeconds, " s, found ",
                                    from.seconds(), " s ", from.nanos(), " ns"));
  }
  return absl::Seconds(from.seconds()) + absl::Nanoseconds(from.nanos());
}

absl::StatusOr<TaskConfig> ReadTaskDefinition(const v1::TaskDefinition& from, TaskConfig begin) {
  GH_RETURN_IF_ERROR(CheckSizes(from));
  begin.id = from.id();
  Values values(begin);
  values.Take("description", from.description());
  values.Take("adapters", AdaptersJson(from));
  values.Take("chat_template", from.chat_template());
  values.Take("system_prompt", from.system_prompt());
  if (!from.text().empty()) values.Take("text", from.text());
  if (from.has_weight()) values.Take("weight", from.weight());
  if (from.has_max_queued()) values.Take("max_queued", from.max_queued());
  if (from.has_max_running()) values.Take("max_running", from.max_running());
  TakeSpeculation(from.speculation(), values);
  GH_RETURN_IF_ERROR(values.status());
  GH_ASSIGN_OR_RETURN(begin.sampling, ReadTaskSampling(from.sampling()));
  return begin;
}

}  // namespace guildhall
