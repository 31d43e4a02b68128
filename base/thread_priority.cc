#include "base/thread_priority.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace guildhall {
namespace {

constexpr int kNiceness = 10;
constexpr uint64_t kSliceNs = 100'000;

}  // namespace

void LowerThreadPriority() {
  struct {  // struct sched_attr of the kernel's first version
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{};
  attributes.size = sizeof(attributes);
  attributes.nice = kNiceness;
  attributes.runtime = kSliceNs;
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace guildhall
