// What each op of a back end took, by name, and a timeline of the threads.
#pragma once

#include <array>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/profile.h"
#include "base/trace.h"
#include "kernels/backend.h"
#include "kernels/op_observer.h"

namespace guildhall {

// Belongs to the thread that calls the ops. While it does not run, steps pay nothing for it.
class OpProfile final : private OpObserver {
 public:
  // `trace`: null, or one with at least lanes() tracks. Both outlive this. Measures nothing before Start().
  explicit OpProfile(Backend& backend, Trace* trace = nullptr);
  ~OpProfile() override;
  OpProfile(const OpProfile&) = delete;
  OpProfile& operator=(const OpProfile&) = delete;

  // From the next op on. `traced`: into the trace, too.
  void Start(bool traced = true);
  void Stop();
  // Ops by name, since the last Reset(). A product whose matrix has a name is listed by that.
  const Profile& profile() const { return profile_; }
  void Reset() { profile_.Reset(); }

  // Products with this matrix (or an FFN that begins with it) are `name` from now on.
  void NameProduct(const Matrix& matrix, std::string_view name);

 private:
  // One place in the profile and the trace.
  struct Place {
    int profile = 0;
    int trace = 0;
  };
  // On lines of its own: one for each thread, which alone writes it while a loop runs.
  struct alignas(128) Worker {
    int64_t busy_ns = 0;
  };

  void OpBegins(OpKind kind, const std::byte* weights) override;
  void OpEnds(const OpCost& cost, int64_t begin_ns, int64_t end_ns) override;
  void ItemDone(int worker, int64_t begin_ns, int64_t end_ns) override;
  void LoopDone(int64_t begin_ns, int64_t end_ns) override;

  Place PlaceOf(std::string_view name);

  Backend& backend_;
  Trace* const trace_;
  bool running_ = false, traced_ = false;
  Profile profile_;
  std::unordered_map<const std::byte*, Place> products_;
  std::array<Place, kOpKinds> ops_;

  // Of the op that runs.
  int64_t loop_ = 0;  // counts loops, over all ops
  int64_t op_loops_ = 0, op_loop_ns_ = 0;
  Place op_;
  std::vector<Worker> workers_;
};

}  // namespace guildhall
