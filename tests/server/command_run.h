// Client commands as users type them, in this process.
#pragma once

#include <string>
#include <vector>

namespace guildhall {

struct Said {
  int exit_code = -1;
  std::string out, err;
};

// "guildhall ARGUMENTS". A command line that cannot be parsed is exit code 1, as main has it.
Said RunClient(std::vector<std::string> arguments);

}  // namespace guildhall
