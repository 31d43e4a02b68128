#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/steady_clock.h"
#include "base/str_cat.h"
#include "base/thread_name.h"
#include "engine/check_request.h"
#include "engine/request_queue.h"
#include "engine/step_loop.h"
#include "engine/task_table.h"
#include "engine/token_stream.h"
#include "kernels/ops.h"

namespace guildhall {
namespace {

int64_t MostKvBlocks(const LanguageModel& model, const EngineOptions& options) {
  if (options.budget == nullptr) return model.kv_blocks();
  const uint64_t affordable = options.budget->total() / options.kv_block_bytes;
  return static_cast<int64_t>(std::min(affordable, static_cast<uint64_t>(model.kv_blocks())));
}

constexpr std::string_view kShutDown = "the server is shutting down; try another one";

}  // namespace

struct Engine::Impl {
  Impl(LanguageModel& model, EngineOptions options_in, const std::vector<TaskPolicy>& tasks,
       WeightManager* weights)
      : options(std::move(options_in)),
        limits{.vocabulary = model.vocabulary(),
               .max_positions = model.max_positions(),
               .kv_tokens = MostKvBlocks(model, options) * kKvBlockTokens},
        kv_blocks(MostKvBlocks(model, options)),
        queue(std::make_shared<RequestQueue>(options.max_queued)),
        loop(model, options, queue, weights) {
    for (const TaskPolicy& task : tasks) GH_CHECK(queue->PutTask(task).ok());
  }

  absl::Status Submit(std::shared_ptr<Request> request);
  std::unique_ptr<Sequence> MakeSequence(std::shared_ptr<Request> request) const;
  void Run();

  const EngineOptions options;
  const RequestLimits limits;
  const int64_t kv_blocks;
  const std::shared_ptr<RequestQueue>
      queue;  // shared with the streams, which wake it and may outlive the engine
  StepLoop loop;

  std::atomic<int64_t> turn_began_ns{0};  // of the loop, by SteadyNs; 0: it waits
  std::atomic<bool> stop{false};
  std::atomic<bool> end_all{false};
  std::mutex thread_mutex;  // Start and Stop
  std::thread thread;
};

Engine::Engine(LanguageModel& model, EngineOptions options, const std::vector<TaskPolicy>& tasks,
               WeightManager* weights)
    : impl_(std::make_unique<Impl>(model, std::move(options), tasks, weights)) {}

Engine::~Engine() {
  Stop();
}

void Engine::Start() {
  std::lock_guard lock(impl_->thread_mutex);
  GH_CHECK(!impl_->thread.joinable());
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

void Engine::Impl::Run() {
  NameThread("engine");
  while (!stop.load()) {
    turn_began_ns.store(SteadyNs());
    if (end_all.load()) loop.EndAll(FinishReason::kCancelled, absl::StatusCode::kUnavailable, kShutDown);
    const bool busy = loop.Step();
    turn_began_ns.store(0);
    if (!busy) queue->Sleep(loop.NextTimer());
  }
}

absl::Status Engine::Submit(std::shared_ptr<Request> request) {
  try {
    return impl_->Submit(std::move(request));
  } catch (const std::bad_alloc&) {
    return absl::Status(absl::StatusCode::kResourceExhausted, "");
  }
}

absl::Status Engine::Impl::Submit(std::shared_ptr<Request> request) {
  GH_CHECK(request != nullptr);
  GH_RETURN_IF_ERROR(queue->CheckTask(request->task));
  if (absl::Status status = CheckRequest(*request, limits); !status.ok()) {
    queue->CountRejected(request->task);
    return status;
  }
  const std::shared_ptr<TokenStream> stream = request->stream;
  std::unique_ptr<Sequence> sequence = MakeSequence(std::move(request));
  stream->SetWake([queue = queue] { queue->Wake(); });
  absl::Status status = queue->Push(std::move(sequence));
  if (!status.ok()) stream->SetWake(nullptr);
  return status;
}

std::unique_ptr<Sequence> Engine::Impl::MakeSequence(std::shared_ptr<Request> request) const {
  auto sequence = std::make_unique<Sequence>();
  sequence->stop = StopRule(request->sampling, options.eos_tokens, limits.max_positions);
  sequence->tokens = request->prompt;
  sequence->prompt_tokens = static_cast<int32_t>(request->prompt.size());
  if (request->sampling.max_tokens > 1) sequence->drafter = Drafter(request->speculation);
  sequence->submitted = absl::Now();
  sequence->request = std::move(request);
  return sequence;
}

bool Engine::Drain(absl::Duration limit) {
  impl_->queue->Close();
  const bool by_themselves = impl_->queue->WaitUntilEmpty(absl::Now() + limit);
  if (!by_themselves) {
    impl_->end_all.store(true);
    impl_->queue->Wake();
    impl_->queue->WaitUntilEmpty(absl::InfiniteFuture());
  }
  return by_themselves;
}

void Engine::Stop() {
  impl_->queue->Close();
  impl_->stop.store(true);
  impl_->queue->Wake();
  std::lock_guard lock(impl_->thread_mutex);
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->loop.EndAll(FinishReason::kCancelled, absl::StatusCode::kUnavailable, kShutDown);
}

EngineStatus Engine::Status() const {
  const std::vector<TaskTable::Entry> tasks = impl_->queue->Tasks();
  const StepCounters counters = impl_->loop.Counters();
  EngineStatus status;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const TaskTable::Entry& task = tasks[i];
    if (!task.live) continue;
    // The loop may not know this task yet: its place holds nothing, or another's counts.
    const bool known = i < counters.tasks.size() && counters.tasks[i].generation == task.generation;
    const StepCounters::Task counted = known ? counters.tasks[i] : StepCounters::Task();
    status.tasks.push_back({.policy = task.policy,
                            .queued = task.counts.queued,
                            .running = task.counts.running,
                            .requests = task.counts.accepted,
                            .rejected = task.counts.rejected,
                            .prompt_tokens = counted.prompt_tokens,
                            .output_tokens = counted.output_tokens,
                            .drafted_tokens = counted.drafted_tokens,
                            .accepted_tokens = counted.accepted_tokens});
  }
  status.kv_blocks_most = impl_->kv_blocks;
  status.kv_blocks = counters.kv_blocks;
  status.kv_blocks_free = counters.kv_blocks_free;
  status.kv_blocks_cached = counters.kv_blocks_cached;
  status.steps = counters.steps;
  status.preemptions = counters.preemptions;
  status.prefix_hit_tokens = counters.prefix_hit_tokens;
  status.overtakings = counters.overtakings;
  status.prompt_rows = counters.prompt_rows;
  status.tokens_per_second = counters.output_rate.PerSecond(absl::Now());
  status.draining = impl_->queue->closed();
  status.consecutive_numeric_failures = counters.consecutive_numeric_failures;
  status.device_lost = counters.device_lost;
  const int64_t began_ns = impl_->turn_began_ns.load();
  if (began_ns != 0) status.turn = absl::Nanoseconds(std::max<int64_t>(0, SteadyNs() - began_ns));
  status.hung = status.turn > impl_->options.hung_step;
  status.healthy = !status.device_lost && !counters.weights_lost && counters.base_healthy && !status.hung;
  return status;
}

absl::Status Engine::PutTask(const TaskPolicy& policy) {
  return impl_->queue->PutTask(policy);
}

absl::Status Engine::DeleteTask(const std::string& id) {
  return impl_->queue->DeleteTask(id);
}

}  // namespace guildhall
