#include "engine/step_loop.h"

#include <algorithm>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/propose_drafts.h"
#include "engine/token_stream.h"

namespace guildhall {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(10);  // after memory was refused

SchedulerLimits LimitsOf(const LanguageModel& model, const EngineOptions& options) {
  return {.max_running = options.max_running,
          .token_budget = static_cast<int>(std::min<int64_t>(options.token_budget, model.max_rows())),
          .prefill_chunk = options.prefill_chunk,
          .max_outputs = model.max_outputs(),
          .total_blocks = model.kv_blocks(),
          .max_tasks = Engine::kMaxTasks,
          .co_batching_patience = options.co_batching_patience};
}

StepCost::Options CostOptions(const LanguageModel& model, const EngineOptions& options) {
  return {.mode = options.step_bound,
          .target_seconds = absl::ToDoubleSeconds(options.target_step),
          .max_rows = std::min<int64_t>(options.token_budget, model.max_rows())};
}

}  // namespace

StepLoop::StepLoop(LanguageModel& model, const EngineOptions& options, std::shared_ptr<RequestQueue> queue,
                   WeightManager* weights)
    : model_(model),
      options_(options),
      weights_(weights),
      queue_(std::move(queue)),
      blocks_(model, options, [wake = queue_] { wake->Wake(); }),
      scheduler_(LimitsOf(model, options)),
      cost_(CostOptions(model, options)),
      builder_(std::min<int64_t>(options.token_budget, model.max_rows()), options.max_running,
               std::min(KvBlocksFor(model.max_positions()), model.kv_blocks())),
      health_(weights == nullptr ? nullptr : &weights->faults(), options.base_check_interval),
      check_(model, std::min<int64_t>(options.token_budget, model.max_rows())),
      publisher_(model.vocabulary(), health_) {
  const auto most = static_cast<size_t>(options.max_running);
  counters_.tasks.reserve(Engine::kMaxTasks);
  published_.tasks.reserve(Engine::kMaxTasks);
  running_.reserve(most);
  running_views_.reserve(most);
  entries_.reserve(most);
  PublishCounters();
}

void StepLoop::Mark(StepProfile::Phase phase) {
  if (options_.profile != nullptr) options_.profile->Done(phase);
}

bool StepLoop::Step() {
  if (options_.profile != nullptr) options_.profile->Begin();
  now_ = absl::Now();
  TakeArrivals();
  if (counters_.device_lost) EndEvery(FinishReason::kError, absl::StatusCode::kUnavailable, kDeviceLost);
  EndCancelledAndLate();
  CheckBase();
  again_ = blocks_.memory().GiveBack();
  Mark(StepProfile::Phase::kAdmit);
  ProposeDrafts(running_, std::min<int64_t>(options_.token_budget, model_.max_outputs()));
  Schedule();
  AwaitMemory();
  Apply();
  Mark(StepProfile::Phase::kSchedule);
  if (!entries_.empty()) Forward();
  const bool busy = Finish();
  Mark(StepProfile::Phase::kFinish);
  return busy;
}

bool StepLoop::TakeArrivals() {
  next_timer_ = absl::InfiniteFuture();
  try {
    const size_t known = waiting_.size();
    queue_->TakeAll(waiting_, running_.capacity(), task_changes_);
    ApplyTaskChanges();
    for (size_t i = known; i < waiting_.size(); ++i) waiting_[i]->space = SpaceOf(*waiting_[i]->request);
    ended_.reserve(waiting_.size() + running_.size());
    return true;
  } catch (const std::bad_alloc&) {
    next_timer_ = now_ + kRetry;
    return false;
  }
}

// All memory for it is there: what the queue has told once is never lost.
void StepLoop::ApplyTaskChanges() {
  for (const TaskChange& change : task_changes_) {
    const auto task = static_cast<size_t>(change.task);
    if (counters_.tasks.size() <= task) counters_.tasks.resize(task + 1);
    const bool fresh = change.generation != counters_.tasks[task].generation;
    if (fresh) counters_.tasks[task] = {.generation = change.generation};
    if (change.generation == 0) {
      scheduler_.RemoveTask(change.task);
    } else {
      scheduler_.PutTask(change.task, {.weight = change.weight, .max_running = change.max_running}, fresh);
    }
  }
}

PrefixSpace StepLoop::SpaceOf(const Request& request) {
  if (!options_.prefix_cache) return kBaseSpace;
  return spaces_.Intern(request.adapters == nullptr ? 0 : request.adapters->id, request.cache_salt);
}

void StepLoop::EndCancelledAndLate() {
  for (const auto& sequence : waiting_) EndIfCancelledOrLate(*sequence);
  for (const auto& sequence : running_) EndIfCancelledOrLate(*sequence);
  CollectEnded();
}

void StepLoop::EndIfCancelledOrLate(Sequence& sequence) {
  const TokenStream& stream = *sequence.request->stream;
  if (const std::optional<FinishReason> reason = stream.CancelRequested(); reason.has_value()) {
    if (*reason == FinishReason::kStop) return sequence.End(*reason, absl::StatusCode::kOk, "", now_);
    return sequence.End(*reason, absl::StatusCode::kCancelled, "the client cancelled the request", now_);
  }
  const absl::Time deadline = sequence.request->deadline;
  if (now_ >= deadline) {
    return sequence.End(FinishReason::kDeadline, absl::StatusCode::kDeadlineExceeded,
                        "the request's deadline passed before it was complete", now_);
  }
  next_timer_ = std::min(next_timer_, deadline);
  if (sequence.output().empty() || stream.HasRoom()) {
    sequence.paused_since = absl::InfiniteFuture();
    return;
  }
  if (!sequence.paused()) sequence.paused_since = now_;
  const absl::Time limit = std::max(sequence.paused_since, stream.LastPop()) + options_.stall_limit;
  if (now_ >= limit) {
    return sequence.End(FinishReason::kCancelled, absl::StatusCode::kResourceExhausted,
                        "the client read nothing for longer than the server's stall limit", now_);
  }
  next_timer_ = std::min(next_timer_, limit);
}

SequenceView StepLoop::ViewOf(const Sequence& sequence) const {
  return {.task = sequence.task,
          .arrival = sequence.arrival,
          .length = sequence.length(),
          .first_output = sequence.FirstOutput(),
          .paused = sequence.paused(),
          .overtaken = sequence.overtaken,
          .computed = sequence.computed,
          .admission = sequence.admission,
          .last_step = sequence.last_step,
          .blocks = static_cast<int32_t>(sequence.blocks.size()),
          .private_blocks = blocks_.Private(sequence),
          .drafts = static_cast<int32_t>(sequence.drafter.drafts().size())};
}

void StepLoop::Schedule() {
  try {
    running_views_.clear();
    waiting_views_.clear();
    for (const auto& sequence : running_) running_views_.push_back(ViewOf(*sequence));
    for (const auto& sequence : waiting_) waiting_views_.push_back(ViewOf(*sequence));
    const auto decodes = std::count_if(running_.begin(), running_.end(),
                                       [](const auto& sequence) { return sequence->decodes(); });
    if (decodes > 0) counters_.prompt_rows = cost_.PromptRows(decodes);
    RunningSlotUse slot_use(sharing_, running_, waiting_);
    const KvBlocks& books = blocks_.books();
    const int64_t obtainable = blocks_.memory().Obtainable();
    scheduler_.Schedule(
        {.running = running_views_,
         .waiting = waiting_views_,
         .available_blocks = books.available() + obtainable,
         .missing_blocks = books.total() - books.size() - obtainable,
         .reserved_blocks = blocks_.memory().wanted() ? obtainable : 0,
         .find_prefix = [&](int32_t i) { return blocks_.FindPrefix(*waiting_[static_cast<size_t>(i)]); },
         .prompt_rows = decodes > 0 ? counters_.prompt_rows : options_.token_budget,
         .slot_use = options_.co_batching_patience > 0 ? &slot_use : nullptr},
        plan_);
    for (const int32_t i : plan_.overtaken) ++waiting_[static_cast<size_t>(i)]->overtaken;
    counters_.overtakings += plan_.overtaken.size();
  } catch (const std::bad_alloc&) {
    plan_.preempted.clear();
    plan_.grants.clear();
    plan_.overtaken.clear();
    next_timer_ = std::min(next_timer_, now_ + kRetry);
  }
}

// Only where adapters hold a part of the budget is there a sequence that could run and nobody who does. It
// waits for them, but not for ever.
void StepLoop::AwaitMemory() {
  Sequence* oldest = nullptr;
  if (options_.budget != nullptr && plan_.grants.empty()) {
    for (const auto* list : {&running_, &waiting_}) {
      for (const auto& sequence : *list) {
        if (sequence->paused() || (oldest != nullptr && oldest->arrival < sequence->arrival)) continue;
        oldest = sequence.get();
      }
    }
  }
  starved_since_ = oldest == nullptr ? absl::InfiniteFuture() : std::min(starved_since_, now_);
  if (oldest == nullptr) return;
  next_timer_ = std::min(next_timer_, now_ + kRetry);
  if (now_ < starved_since_ + options_.stall_limit) return;
  starved_since_ = absl::InfiniteFuture();
  oldest->End(FinishReason::kError, absl::StatusCode::kResourceExhausted,
              "the KV cache found no memory for this request within the server's stall limit: adapters hold "
              "the rest of the budget",
              now_);
}

// Makes the plan true. An entry that cannot have its memory ends here and leaves the batch.
void StepLoop::Apply() {
  entries_.clear();
  for (const RowGrant& grant : plan_.grants) {
    const auto i = static_cast<size_t>(grant.sequence);
    entries_.push_back(
        {.sequence = grant.admitted ? waiting_[i].get() : running_[i].get(), .rows = grant.rows});
  }
  for (const int32_t i : plan_.preempted) Preempt(*running_[static_cast<size_t>(i)]);
  // Prefix hits are taken before any block is allocated: an allocation may evict what a hit needs.
  for (const RowGrant& grant : plan_.grants) {
    if (grant.admitted) Admit(*waiting_[static_cast<size_t>(grant.sequence)]);
  }
  blocks_.Provide(entries_);
  for (BatchEntry& entry : entries_) AllocateBlocks(entry);
  std::erase_if(entries_, [](const BatchEntry& entry) { return entry.sequence->ended || entry.rows == 0; });
  MoveBetweenLists();
}

void StepLoop::MoveBetweenLists() {
  for (const int32_t i : plan_.preempted) waiting_.push_back(std::move(running_[static_cast<size_t>(i)]));
  std::erase(running_, nullptr);
  for (const RowGrant& grant : plan_.grants) {
    if (grant.admitted) running_.push_back(std::move(waiting_[static_cast<size_t>(grant.sequence)]));
  }
  std::erase(waiting_, nullptr);
  if (plan_.preempted.empty()) return;
  std::sort(waiting_.begin(), waiting_.end(),
            [](const auto& a, const auto& b) { return a->arrival < b->arrival; });
}

void StepLoop::Preempt(Sequence& sequence) {
  blocks_.Release(sequence);
  ++sequence.end.usage.preemptions;
  ++counters_.preemptions;
  queue_->Preempted(sequence.task);
}

void StepLoop::Admit(Sequence& sequence) {
  if (!blocks_.AcquirePrefix(sequence)) EndForMemory(sequence);
  sequence.admission = next_admission_++;
  queue_->Admitted(sequence.task);
  if (sequence.scheduled == absl::InfiniteFuture()) {
    sequence.scheduled = now_;
    sequence.end.usage.cached_tokens = sequence.computed;
    counters_.prefix_hit_tokens += static_cast<uint64_t>(sequence.computed);
    CountersOf(sequence).prompt_tokens += static_cast<uint64_t>(sequence.prompt_tokens);
  }
}

// Adapters may be faster than the plan: the sequence goes without rows once, and the next plan knows.
void StepLoop::AllocateBlocks(BatchEntry& entry) {
  if (entry.sequence->ended) return;
  switch (blocks_.Allocate(entry)) {
    case SequenceBlocks::Given::kRows:
      entry.sequence->last_step = counters_.steps;
      return;
    case SequenceBlocks::Given::kNotNow:
      GH_CHECK(options_.budget != nullptr);
      again_ = true;
      return;
    case SequenceBlocks::Given::kNoMemory:
      return EndForMemory(*entry.sequence);
  }
}

void StepLoop::EndForMemory(Sequence& sequence) {
  sequence.End(FinishReason::kError, absl::StatusCode::kResourceExhausted,
               "no memory was left to go on with this request", now_);
}

void StepLoop::Forward() {
  Batch batch = builder_.Build(entries_);
  // Taken after the sequences were: every set has its slots in it.
  std::shared_ptr<const ExpertTables> tables;
  if (weights_ != nullptr && !batch.sets.empty()) tables = weights_->Tables();
  batch.tables = tables.get();
  ++counters_.steps;
  int64_t decode_rows = 0;
  for (const BatchEntry& entry : entries_) decode_rows += entry.sequence->decodes() ? entry.rows : 0;
  const int64_t prompt_rows = batch.rows() - decode_rows;
  const int64_t begin_ns = NowNs();
  Mark(StepProfile::Phase::kBuild);
  const absl::StatusOr<StepOutput> output = RunStep(model_, batch);
  Mark(StepProfile::Phase::kForward);
  if (!output.ok()) return EndStep(output.status());
  GH_CHECK_EQ(output->logits.size(), batch.outputs.size() * static_cast<size_t>(model_.vocabulary()));
  Publish(output->logits, absl::Now());
  Mark(StepProfile::Phase::kPublish);
  cost_.Observe(decode_rows, prompt_rows, static_cast<double>(NowNs() - begin_ns) * 1e-9);
}

void StepLoop::Publish(std::span<const float> logits, absl::Time now) {
  const auto vocabulary = static_cast<size_t>(model_.vocabulary());
  uint64_t outputs = 0;
  for (const BatchEntry& entry : entries_) {
    Sequence& sequence = *entry.sequence;
    const int32_t length = sequence.length();
    const Publisher::Result result = publisher_.Rows(sequence, entry.rows, logits, now);
    logits = logits.subspan(static_cast<size_t>(result.logit_rows) * vocabulary);
    CountersOf(sequence).drafted_tokens += static_cast<uint64_t>(result.drafted);
    CountersOf(sequence).accepted_tokens += static_cast<uint64_t>(result.accepted);
    if (sequence.end.reason != FinishReason::kError) blocks_.Register(sequence);
    if (sequence.request->sampling.max_tokens == 0 && sequence.computed == length) {
      sequence.End(FinishReason::kLength, absl::StatusCode::kOk, "", now);
    }
    const auto added = static_cast<uint64_t>(sequence.length() - length);
    CountersOf(sequence).output_tokens += added;
    outputs += added;
  }
  counters_.output_rate.Add(now, outputs);
}

// Takes the ended out of the lists; their blocks are free from here on.
void StepLoop::CollectEnded() {
  for (auto& sequence : running_) {
    if (!sequence->ended) continue;
    blocks_.Release(*sequence);
    queue_->Ending(sequence->task, /*was_queued=*/false);
    ended_.push_back(std::move(sequence));
  }
  for (auto& sequence : waiting_) {
    if (!sequence->ended) continue;
    queue_->Ending(sequence->task, /*was_queued=*/true);
    ended_.push_back(std::move(sequence));
  }
  std::erase(running_, nullptr);
  std::erase(waiting_, nullptr);
}

// Who sees the end of a request finds it in the counters already.
bool StepLoop::Finish() {
  CollectEnded();
  PublishCounters();
  const bool busy = again_ || !ended_.empty() || !entries_.empty() || !plan_.preempted.empty();
  for (const auto& sequence : ended_) {
    const AdapterSet* const set = sequence->adapters();
    if (set != nullptr && weights_ != nullptr && sequence->end.status.ok())
      weights_->faults().Succeeded(*set);
    sequence->request->stream->End(std::move(sequence->end));
  }
  // Who has waited for all to end finds their adapters without readers.
  const size_t ended = ended_.size();
  ended_.clear();
  queue_->Ended(ended);
  return busy;
}

void StepLoop::PublishCounters() {
  counters_.consecutive_numeric_failures = health_.failures();
  counters_.base_healthy = health_.healthy();
  counters_.kv_blocks = blocks_.books().size();
  counters_.kv_blocks_free = blocks_.books().available();
  counters_.kv_blocks_cached = blocks_.books().cached();
  std::lock_guard lock(published_mutex_);
  published_ = counters_;  // room for all tasks: copies, allocates nothing
}

StepCounters StepLoop::Counters() const {
  std::lock_guard lock(published_mutex_);
  return published_;
}

void StepLoop::EndAll(FinishReason reason, absl::StatusCode code, std::string_view message) {
  now_ = absl::Now();
  while (!TakeArrivals()) std::this_thread::yield();
  EndEvery(reason, code, message);
  Finish();
}

void StepLoop::EndEvery(FinishReason reason, absl::StatusCode code, std::string_view message) {
  for (const auto& sequence : waiting_) sequence->End(reason, code, message, now_);
  for (const auto& sequence : running_) sequence->End(reason, code, message, now_);
}

}  // namespace guildhall
