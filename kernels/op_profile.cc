#include "kernels/op_profile.h"

namespace guildhall {

const char* OpName(OpKind kind) {
  switch (kind) {
#define GH_NAME(Name, name) \
  case OpKind::k##Name:     \
    return #name;
    GH_FOR_EACH_OP(GH_NAME)
#undef GH_NAME
  }
  return "";
}

OpProfile::OpProfile(Backend& backend, Trace* trace)
    : backend_(backend), trace_(trace), workers_(static_cast<size_t>(backend.lanes())) {
  for (int kind = 0; kind < kOpKinds; ++kind) {
    ops_[static_cast<size_t>(kind)] = PlaceOf(OpName(static_cast<OpKind>(kind)));
  }
}

OpProfile::~OpProfile() {
  if (running_) Stop();
}

void OpProfile::Start(bool traced) {
  running_ = true;
  traced_ = traced && trace_ != nullptr;
  backend_.Observe(this);
}

void OpProfile::Stop() {
  running_ = false;
  backend_.Observe(nullptr);
}

OpProfile::Place OpProfile::PlaceOf(std::string_view name) {
  return {profile_.Name(name), trace_ == nullptr ? 0 : trace_->Name(name)};
}

void OpProfile::NameProduct(const Matrix& matrix, std::string_view name) {
  if (!matrix.empty()) products_.insert_or_assign(matrix.data, PlaceOf(name));
}

void OpProfile::OpBegins(OpKind kind, const std::byte* weights) {
  const auto product = weights == nullptr ? products_.end() : products_.find(weights);
  op_ = product == products_.end() ? ops_[static_cast<size_t>(kind)] : product->second;
  op_loops_ = op_loop_ns_ = 0;
  for (Worker& worker : workers_) worker.busy_ns = 0;
}

void OpProfile::OpEnds(const OpCost& cost, int64_t begin_ns, int64_t end_ns) {
  ProfileEntry& entry = profile_[op_.profile];
  ++entry.calls;
  entry.ns += end_ns - begin_ns;
  entry.loops += op_loops_;
  entry.loop_ns += op_loop_ns_;
  for (const Worker& worker : workers_) entry.busy_ns += worker.busy_ns;
  entry.bytes += cost.bytes;
  entry.flops += cost.flops;
  if (traced_) trace_->Add(0, op_.trace, begin_ns, end_ns);
}

void OpProfile::ItemDone(int worker, int64_t begin_ns, int64_t end_ns) {
  workers_[static_cast<size_t>(worker)].busy_ns += end_ns - begin_ns;
  if (traced_) trace_->AddPiece(worker, op_.trace, loop_, begin_ns, end_ns);
}

void OpProfile::LoopDone(int64_t begin_ns, int64_t end_ns) {
  ++loop_;
  ++op_loops_;
  op_loop_ns_ += end_ns - begin_ns;
}

}  // namespace guildhall
