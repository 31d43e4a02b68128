// The answers of a load run as they grow, side by side on the terminal.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "client/load_plan.h"

namespace guildhall {

// One line per request, redrawn in place when `live`; else only the final state is printed. `prompts`
// outlives it. Any thread.
class LoadBoard {
 public:
  LoadBoard(const std::vector<LoadPrompt>& prompts, bool live);

  void Append(size_t index, const std::string& text);
  void PrintFinal();

 private:
  void Draw(bool again);

  const std::vector<LoadPrompt>& prompts_;
  std::vector<std::string> answers_;
  const bool live_;
  std::mutex mutex_;
};

}  // namespace guildhall
