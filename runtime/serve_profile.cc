#include "runtime/serve_profile.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "model/product_names.h"

namespace guildhall {

ServeProfile::ServeProfile(bool table, std::string trace_file)
    : table_(table), trace_file_(std::move(trace_file)) {}

void ServeProfile::AddTo(BaseModelOptions& options) {
  if (!enabled()) return;
  options.wrap_backend = [this](std::unique_ptr<Backend> inner) {
    if (!trace_file_.empty()) {
      trace_ = std::make_unique<Trace>(inner->Threads());
      trace_->NameTrack(0, "engine");
    }
    steps_ = std::make_unique<StepProfile>(trace_.get());
    auto profiled = std::make_unique<ProfiledBackend>(std::move(inner), trace_.get());
    backend_ = profiled.get();
    return profiled;
  };
}

void ServeProfile::Start(const BaseModel& model) {
  if (backend_ == nullptr) return;
  ForEachProduct(model.decoder->weights(), [this](const Matrix& matrix, std::string_view name) {
    backend_->NameProduct(matrix, name);
  });
  backend_->Start();
}

void ServeProfile::AddTo(EngineOptions& options) {
  options.profile = steps_.get();
}

absl::Status ServeProfile::Report() {
  if (backend_ == nullptr) return absl::OkStatus();
  if (table_) {
    const int64_t busy = steps_->phases().TotalNs();
    const Profile& ops = backend_->profile();
    Log().info("profile of the engine thread's {:.1f} s in steps, by phase:\n{}by op:\n{}",
               static_cast<double>(busy) * 1e-9, ProfileText(steps_->phases(), 1, busy, "between phases"),
               ProfileText(ops, backend_->Threads(), busy, "outside ops"));
  }
  if (trace_ == nullptr) return absl::OkStatus();
  GH_RETURN_IF_ERROR(trace_->Write(trace_file_));
  Log().info("trace: {} spans in {}, {} dropped; open it with ui.perfetto.dev or chrome://tracing",
             trace_->events(), trace_file_, trace_->dropped());
  return absl::OkStatus();
}

}  // namespace guildhall
