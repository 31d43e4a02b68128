// A subcommand of the binary: it declares its flags and leaves behind what to run.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace guildhall {

// Runs after the command line has been parsed; the result is the exit code of the process.
using Action = std::function<int()>;

// Each adds one subcommand to `app`; parsing it sets `action`.
void AddGenerateCommand(CLI::App& app, Action& action);
void AddTasksCommand(CLI::App& app, Action& action);
void AddAdaptersCommand(CLI::App& app, Action& action);
void AddStatusCommand(CLI::App& app, Action& action);
void AddHealthCommand(CLI::App& app, Action& action);
void AddLoadCommand(CLI::App& app, Action& action);

}  // namespace guildhall
