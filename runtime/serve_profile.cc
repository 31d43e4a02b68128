#include "runtime/serve_profile.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "model/product_names.h"

namespace guildhall {

ServeProfile::ServeProfile(bool table, std::string trace_file)
    : table_(table), trace_file_(std::move(trace_file)) {}

void ServeProfile::Start(const BaseModel& model) {
  if (!enabled()) return;
  lanes_ = model.backend->lanes();
  if (!trace_file_.empty()) {
    trace_ = std::make_unique<Trace>(lanes_);
    trace_->NameTrack(0, "engine");
  }
  steps_ = std::make_unique<StepProfile>(trace_.get());
  ops_ = std::make_unique<OpProfile>(*model.backend, trace_.get());
  ForEachProduct(model.decoder->weights(),
                 [this](const Matrix& matrix, std::string_view name) { ops_->NameProduct(matrix, name); });
  ops_->Start();
}

void ServeProfile::AddTo(EngineOptions& options) {
  options.profile = steps_.get();
}

absl::Status ServeProfile::Report() {
  if (ops_ == nullptr) return absl::OkStatus();
  ops_->Stop();
  if (table_) {
    const int64_t busy = steps_->phases().TotalNs();
    const Profile& ops = ops_->profile();
    Log().info("profile of the engine thread's {:.1f} s in steps, by phase:\n{}by op:\n{}",
               static_cast<double>(busy) * 1e-9, ProfileText(steps_->phases(), 1, busy, "between phases"),
               ProfileText(ops, lanes_, busy, "outside ops"));
  }
  if (trace_ == nullptr) return absl::OkStatus();
  GH_RETURN_IF_ERROR(trace_->Write(trace_file_));
  Log().info("trace: {} spans in {}, {} dropped; open it with ui.perfetto.dev or chrome://tracing",
             trace_->events(), trace_file_, trace_->dropped());
  return absl::OkStatus();
}

}  // namespace guildhall
