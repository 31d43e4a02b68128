// Sums of time by name, and the table of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace guildhall {

// What was done under one name.
struct ProfileEntry {
  std::string name;
  int64_t calls = 0;
  int64_t ns = 0;       // wall time of the calls
  int64_t loops = 0;    // parallel loops in them, each with a barrier at its end
  int64_t loop_ns = 0;  // wall time of the loops
  int64_t busy_ns = 0;  // sum over the threads of the time that they spent on the loops' items
  double bytes = 0.0;   // that had to be read and written; 0: not known
  double flops = 0.0;
};

// Owned and used by one thread.
class Profile {
 public:
  // The place of a name's entry, which is made if it is new (that alone takes memory).
  int Name(std::string_view name);
  ProfileEntry& operator[](int place) { return entries_[static_cast<size_t>(place)]; }
  const std::vector<ProfileEntry>& entries() const { return entries_; }

  int64_t TotalNs() const;
  // All sums to 0; the names stay.
  void Reset();

 private:
  std::vector<ProfileEntry> entries_;
};

// Entries that were called, the longest first, then what is
// left of `wall_ns` as `rest`. `threads`: of the team. Columns:
//   ms, share   wall time; of wall_ns
//   GB/s, GFLOP/s
//   loops       barriers per call
//   serial      share of the entry's time outside of parallel loops
//   idle        share of the threads' time in it without work: in serial pieces, and waiting at barriers
std::string ProfileText(const Profile& profile, int threads, int64_t wall_ns, std::string_view rest);
Json ProfileJson(const Profile& profile, int threads, int64_t wall_ns, std::string_view rest);

}  // namespace guildhall
