#include "server/net/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr rlim_t kMost = 1 << 20;  // a limit of a thousand millions helps nobody

rlimit Limits() {
  rlimit limits{};
  getrlimit(RLIMIT_NOFILE, &limits);
  return limits;
}

}  // namespace

int64_t DescriptorLimit() {
  return static_cast<int64_t>(std::min(Limits().rlim_cur, kMost));
}

std::string RaiseDescriptorLimit() {
  const rlimit before = Limits();
  rlimit wanted = before;
  wanted.rlim_cur = std::max(before.rlim_cur, std::min(before.rlim_max, kMost));
  if (wanted.rlim_cur == before.rlim_cur || setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
    return StrCat(DescriptorLimit(), " descriptors");
  }
  return StrCat(DescriptorLimit(), " descriptors, raised from ", before.rlim_cur);
}

}  // namespace guildhall
