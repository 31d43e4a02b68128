#include "kernels/profiled_backend.h"

#include <utility>

#include "base/check.h"
#include "base/steady_clock.h"

namespace guildhall {

ProfiledBackend::ProfiledBackend(std::unique_ptr<Backend> inner, Trace* trace)
    : inner_(std::move(inner)),
      trace_(trace),
      embed_(PlaceOf("embed")),
      norm_(PlaceOf("rms_norm")),
      matmul_(PlaceOf("matmul")),
      head_matmul_(PlaceOf("head_matmul")),
      rope_(PlaceOf("rope")),
      append_kv_(PlaceOf("append_kv")),
      attention_(PlaceOf("attention")),
      route_(PlaceOf("route")),
      experts_(PlaceOf("expert_ffn")),
      ffn_(PlaceOf("ffn")),
      gather_(PlaceOf("gather_rows")),
      workers_(static_cast<size_t>(inner_->Threads())) {}

ProfiledBackend::~ProfiledBackend() {
  Stop();
}

void ProfiledBackend::Start(bool traced) {
  running_ = true;
  traced_ = traced && trace_ != nullptr;
  inner_->Observe(this);
}

void ProfiledBackend::Stop() {
  running_ = false;
  inner_->Observe(nullptr);
}

void ProfiledBackend::Observe(LoopObserver* observer) {
  GH_CHECK(!running_);
  inner_->Observe(observer);
}

ProfiledBackend::Place ProfiledBackend::PlaceOf(std::string_view name) {
  return {profile_.Name(name), trace_ == nullptr ? 0 : trace_->Name(name)};
}

void ProfiledBackend::NameProduct(const Matrix& matrix, std::string_view name) {
  if (!matrix.empty()) products_.insert_or_assign(matrix.data, PlaceOf(name));
}

ProfiledBackend::Place ProfiledBackend::NamedPlace(const Matrix& matrix, Place otherwise) const {
  const auto found = products_.find(matrix.data);
  return found == products_.end() ? otherwise : found->second;
}

void ProfiledBackend::ItemDone(int worker, int64_t begin_ns, int64_t end_ns) {
  workers_[static_cast<size_t>(worker)].busy_ns += end_ns - begin_ns;
  if (traced_) trace_->AddPiece(worker, op_.trace, loop_, begin_ns, end_ns);
}

void ProfiledBackend::LoopDone(int64_t begin_ns, int64_t end_ns) {
  ++loop_;
  ++op_loops_;
  op_loop_ns_ += end_ns - begin_ns;
}

template <typename Args>
void ProfiledBackend::Measure(Place place, void (Backend::*op)(const Args&), const Args& args) {
  if (!running_) return ((*inner_).*op)(args);
  op_ = place;
  op_loops_ = op_loop_ns_ = 0;
  for (Worker& worker : workers_) worker.busy_ns = 0;
  const int64_t begin = SteadyNs();
  ((*inner_).*op)(args);
  const int64_t end = SteadyNs();
  const OpCost cost = CostOf(args);
  ProfileEntry& entry = profile_[place.profile];
  ++entry.calls;
  entry.ns += end - begin;
  entry.loops += op_loops_;
  entry.loop_ns += op_loop_ns_;
  for (const Worker& worker : workers_) entry.busy_ns += worker.busy_ns;
  entry.bytes += cost.bytes;
  entry.flops += cost.flops;
  if (traced_) trace_->Add(0, place.trace, begin, end);
}

void ProfiledBackend::Embed(const EmbedArgs& args) {
  Measure(embed_, &Backend::Embed, args);
}
void ProfiledBackend::RmsNorm(const RmsNormArgs& args) {
  Measure(norm_, &Backend::RmsNorm, args);
}
void ProfiledBackend::MatMul(const MatMulArgs& args) {
  Measure(NamedPlace(args.w, matmul_), &Backend::MatMul, args);
}
void ProfiledBackend::HeadMatMul(const HeadMatMulArgs& args) {
  Measure(args.w.empty() ? head_matmul_ : NamedPlace(args.w[0], head_matmul_), &Backend::HeadMatMul, args);
}
void ProfiledBackend::Rope(const RopeArgs& args) {
  Measure(rope_, &Backend::Rope, args);
}
void ProfiledBackend::AppendKv(const AppendKvArgs& args) {
  Measure(append_kv_, &Backend::AppendKv, args);
}
void ProfiledBackend::Attention(const AttentionArgs& args) {
  Measure(attention_, &Backend::Attention, args);
}
void ProfiledBackend::Route(const RouteArgs& args) {
  Measure(route_, &Backend::Route, args);
}
void ProfiledBackend::ExpertFfn(const ExpertFfnArgs& args) {
  Measure(experts_, &Backend::ExpertFfn, args);
}
void ProfiledBackend::Ffn(const FfnArgs& args) {
  Measure(NamedPlace(args.w.gate_up, ffn_), &Backend::Ffn, args);
}
void ProfiledBackend::GatherRows(const GatherRowsArgs& args) {
  Measure(gather_, &Backend::GatherRows, args);
}

}  // namespace guildhall
