// Sends the requests of a load run over one channel and times their answers.
#pragma once

#include <cstdint>
#include <vector>

#include "client/channel.h"
#include "client/load_board.h"
#include "client/load_plan.h"
#include "client/load_report.h"

namespace guildhall {

struct LoadRun {
  const Connection& connection;
  const std::vector<LoadPrompt>& prompts;
  const std::vector<double>& due;  // of each, in seconds after the start; empty: a closed loop
  int streams = 1;                 // at once, at most
  int64_t max_tokens = 64;
  LoadBoard* board = nullptr;
};

// Greedy answers, one sample per prompt in their order. Where requests have a due time, their times count
// from it: what waited for a free stream of the client waited for the server.
std::vector<LoadSample> SendLoad(const LoadRun& run);

}  // namespace guildhall
