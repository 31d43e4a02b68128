// A back end that measures another one: what each op took, and a timeline of the threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/profile.h"
#include "base/thread_pool.h"
#include "base/trace.h"
#include "kernels/backend.h"
#include "kernels/op_cost.h"

namespace guildhall {

// Forwards every call; results are the inner back end's, to the bit. Who does not profile uses the inner one
// and pays nothing. All but packing and the size questions belongs to the thread that calls the ops.
class ProfiledBackend final : public Backend, private LoopObserver {
 public:
  // `trace`: null, or one with at least Threads() tracks that outlives this. Measures nothing before Start().
  explicit ProfiledBackend(std::unique_ptr<Backend> inner, Trace* trace = nullptr);
  ~ProfiledBackend() override;

  // From the next op on. `traced`: into the trace, too.
  void Start(bool traced = true);
  void Stop();
  // Ops by name, since the last Reset(). A product whose matrix has a name is listed by that.
  const Profile& profile() const { return profile_; }
  void Reset() { profile_.Reset(); }

  // Products with this matrix (or an FFN that begins with it) are `name` from now on.
  void NameProduct(const Matrix& matrix, std::string_view name);

  Backend& inner() { return *inner_; }

  std::string Describe() const override { return inner_->Describe(); }
  int Threads() const override { return inner_->Threads(); }
  // CHECK: nobody else measures at the same time.
  void Observe(LoopObserver* observer) override;
  absl::Status Prepare(const StepLimits& limits) override { return inner_->Prepare(limits); }

  DeviceMemory& memory() override { return inner_->memory(); }
  std::string layout() const override { return inner_->layout(); }
  size_t PackedBytes(const PackShape& shape) const override { return inner_->PackedBytes(shape); }
  void Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const override {
    inner_->Pack(shape, parts, to);
  }
  int64_t LowRankColumns(int64_t rank) const override { return inner_->LowRankColumns(rank); }
  size_t KvBlockBytes(const KvShape& shape) const override { return inner_->KvBlockBytes(shape); }

  void Embed(const EmbedArgs& args) override;
  void RmsNorm(const RmsNormArgs& args) override;
  void MatMul(const MatMulArgs& args) override;
  void HeadMatMul(const HeadMatMulArgs& args) override;
  void Rope(const RopeArgs& args) override;
  void AppendKv(const AppendKvArgs& args) override;
  void Attention(const AttentionArgs& args) override;
  void Route(const RouteArgs& args) override;
  void ExpertFfn(const ExpertFfnArgs& args) override;
  void Ffn(const FfnArgs& args) override;
  void GatherRows(const GatherRowsArgs& args) override;

 private:
  // One place in the profile and the trace.
  struct Place {
    int profile;
    int trace;
  };
  // On lines of its own: one for each thread, which alone writes it while a loop runs.
  struct alignas(128) Worker {
    int64_t busy_ns = 0;
  };

  void ItemDone(int worker, int64_t begin_ns, int64_t end_ns) override;
  void LoopDone(int64_t begin_ns, int64_t end_ns) override;

  Place PlaceOf(std::string_view name);
  // The product's own name, else the op's.
  Place NamedPlace(const Matrix& matrix, Place otherwise) const;
  template <typename Args>
  void Measure(Place place, void (Backend::*op)(const Args&), const Args& args);

  std::unique_ptr<Backend> inner_;
  Trace* const trace_;
  bool running_ = false, traced_ = false;
  Profile profile_;
  std::unordered_map<const std::byte*, Place> products_;
  Place embed_, norm_, matmul_, head_matmul_, rope_, append_kv_, attention_, route_, experts_, ffn_, gather_;

  // Of the op that runs.
  int64_t loop_ = 0;  // counts loops, over all ops
  int64_t op_loops_ = 0, op_loop_ns_ = 0;
  Place op_{};
  std::vector<Worker> workers_;
};

}  // namespace guildhall
