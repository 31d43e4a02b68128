// The calls of AdminCalls that change adapters and tasks.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/admin_calls.h"
#include "server/admin_messages.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/status_message.h"

namespace guildhall {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};

// A load on a thread of its own, so that a client that reads slowly holds up nobody else's load.
class RunningLoad {
 public:
  RunningLoad(Administration& administration, AdapterLoad load) : load_(std::move(load)) {
    load_.progress = [this](uint64_t done, uint64_t total) {
      done_bytes_.store(done, std::memory_order_relaxed);
      total_bytes_.store(total, std::memory_order_relaxed);
    };
    load_.cancel = cancel_.get_token();
    thread_ = std::thread([this, &administration] {
      absl::StatusOr<AdapterInfo> result = absl::InternalError("the load did not end");
      const absl::Status status = Guarded([&]() -> absl::Status {
        result = administration.LoadAdapter(load_);
        return result.status();
      });
      if (!status.ok()) result = status;
      const std::lock_guard lock(mutex_);
      result_ = std::move(result);
      ended_.notify_all();
    });
  }
  ~RunningLoad() {
    Cancel();
    thread_.join();
  }
  RunningLoad(const RunningLoad&) = delete;
  RunningLoad& operator=(const RunningLoad&) = delete;

  void Cancel() { cancel_.request_stop(); }
  // The result, if it is there within the interval of progress messages.
  std::optional<absl::StatusOr<AdapterInfo>> Wait() {
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, kProgressInterval, [this] { return result_.has_value(); });
    return result_;
  }
  v1::LoadAdapterResponse::Progress progress() const {
    v1::LoadAdapterResponse::Progress progress;
    progress.set_done_bytes(done_bytes_.load(std::memory_order_relaxed));
    progress.set_total_bytes(total_bytes_.load(std::memory_order_relaxed));
    return progress;
  }

 private:
  AdapterLoad load_;
  std::atomic<uint64_t> done_bytes_{0}, total_bytes_{0};
  std::stop_source cancel_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<absl::StatusOr<AdapterInfo>> result_;
  std::thread thread_;
};

// Writes what is new until the load ends. A drain ends it.
absl::StatusOr<AdapterInfo> Follow(RunningLoad& load, const Call& call, const ServerState& state,
                                   MessageSink<v1::LoadAdapterResponse>& sink) {
  uint64_t written = 0;
  while (true) {
    const bool draining = state.phase() == ServerState::Phase::kDraining;
    if (auto result = load.Wait()) {
      if (draining && absl::IsCancelled(result->status())) return state.ForRequest().status();
      return *std::move(result);
    }
    if (draining || call.cancelled()) load.Cancel();
    v1::LoadAdapterResponse response;
    *response.mutable_progress() = load.progress();
    if (response.progress().done_bytes() == written) continue;
    written = response.progress().done_bytes();
    if (!sink.Write(response)) load.Cancel();
  }
}

AdapterLoad LoadOf(const v1::LoadAdapterRequest& request) {
  AdapterLoad load;
  load.adapter.name = request.name();
  load.adapter.path = request.path();
  load.adapter.pin = request.pin();
  load.adapter.expert_config = request.expert_config();
  if (request.has_expected_version()) load.expected_version = request.expected_version();
  return load;
}

std::vector<std::string> TasksOf(const Deployment& deployment, const std::string& adapter) {
  const auto tasks = deployment.administration->TasksByAdapter();
  const auto at = tasks.find(adapter);
  return at == tasks.end() ? std::vector<std::string>() : at->second;
}

}  // namespace

absl::Status AdminCalls::LoadAdapter(const v1::LoadAdapterRequest& request, const Call& call,
                                     MessageSink<v1::LoadAdapterResponse>& sink) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    RunningLoad load(*deployment->administration, LoadOf(request));
    GH_ASSIGN_OR_RETURN(const AdapterInfo info, Follow(load, call, state_, sink));
    v1::LoadAdapterResponse response;
    FillAdapter(info, TasksOf(*deployment, info.name), *response.mutable_loaded());
    sink.Write(response);
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::UnloadAdapter(const v1::UnloadAdapterRequest& request, const Call& call,
                                       v1::UnloadAdapterResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    std::optional<uint64_t> expected;
    if (request.has_expected_version()) expected = request.expected_version();
    std::optional<absl::Duration> wait;
    if (request.has_wait()) {
      GH_ASSIGN_OR_RETURN(wait, ReadDuration(request.wait(), "wait"));
    }
    GH_ASSIGN_OR_RETURN(const UnloadResult result,
                        deployment->administration->UnloadAdapter(request.name(), expected, wait));
    response.set_version(result.version);
    response.set_freed_bytes(result.freed_bytes);
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::ListAdapters(const v1::ListAdaptersRequest&, const Call& call,
                                      v1::ListAdaptersResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    FillAdapterList(*deployment, response);
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::PinAdapter(const v1::PinAdapterRequest& request, const Call& call,
                                    v1::PinAdapterResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    GH_ASSIGN_OR_RETURN(const AdapterInfo info,
                        deployment->administration->PinAdapter(request.name(), request.pinned()));
    FillAdapter(info, TasksOf(*deployment, info.name), *response.mutable_adapter());
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::PutTask(const v1::PutTaskRequest& request, const Call& call,
                                 v1::PutTaskResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    if (!request.has_task()) return FieldError("task", "expected a task, found none");
    const v1::TaskDefinition& task = request.task();
    GH_ASSIGN_OR_RETURN(const TaskConfig config,
                        ReadTaskDefinition(task, deployment->tasks->Quotas(task.id())));
    GH_ASSIGN_OR_RETURN(const bool replaced, deployment->administration->PutTask(config));
    response.set_replaced(replaced);
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::DeleteTask(const v1::DeleteTaskRequest& request, const Call& call,
                                    v1::DeleteTaskResponse&) const {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, Enter(call));
    return deployment->administration->DeleteTask(request.id());
  });
}

}  // namespace guildhall
