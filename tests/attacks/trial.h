// One attack beside an innocent client: what it was before, meanwhile and after, and its marks.
#pragma once

#include <string>
#include <vector>

#include "tests/attacks/attack.h"
#include "tests/attacks/innocent.h"
#include "tests/attacks/process_watch.h"

namespace guildhall::attacks {

struct TrialOptions {
  Target target;
  std::string innocent;   // address, if another than the target's
  pid_t pid = 0;          // the server's; 0: nothing is known of its process
  int size = 0;           // 0: the attack's own
  int rounds = 1;         // of the attack, one after another
  int calls_before = 20;  // of the innocent client, alone
};

struct Marks {
  double slower = 2.0;                      // the innocent client's 99th percentile against before ...
  double slower_seconds = 0.1;              // ... or as much later
  double memory = 1.2;                      // resident afterwards against before ...
  int64_t memory_bytes = int64_t{8} << 20;  // ... or as much more
  int64_t threads = 2, descriptors = 2;     // more than before, afterwards
};

struct Trial {
  std::string attack;
  Tally tally;
  InnocentCounts before, meanwhile;
  bool known = false;  // the process is
  ProcessFigures figures_before, figures_peak, figures_after;
  int64_t health_checks = 0, unhealthy = 0;
  double seconds = 0.0;  // of the attack
  bool ended = false;    // the process is gone
};

// Blocks while the attack lasts, then until the process is back within `marks`, 10 s at most.
Trial RunTrial(const Attack& attack, const TrialOptions& options, const Marks& marks);

// What is against the marks, one sentence each. Empty: the server stood it.
std::vector<std::string> Failures(const Trial& trial, const Marks& marks);

// Lines of a table with a column for each figure.
std::string TableHead();
std::string TableRow(const Trial& trial);

}  // namespace guildhall::attacks
