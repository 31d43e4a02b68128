// The subcommands that need no server: they load a model folder or are the server.
#pragma once

#include "client/command.h"

namespace guildhall {

void AddServeCommand(CLI::App& app, Action& action);
void AddInspectCommand(CLI::App& app, Action& action);
void AddQuantizeCommand(CLI::App& app, Action& action);
void AddScoreCommand(CLI::App& app, Action& action);
void AddQualityCommand(CLI::App& app, Action& action);
void AddExpertsCommand(CLI::App& app, Action& action);
void AddBenchCommand(CLI::App& app, Action& action);
// Under bench.
void AddBenchAdaptersCommand(CLI::App& bench, Action& action);
void AddBenchFragmentationCommand(CLI::App& bench, Action& action);
void AddBenchShapesCommand(CLI::App& bench, Action& action);
void AddBenchTableCommand(CLI::App& bench, Action& action);
// Under adapters.
void AddAdapterInspectCommand(CLI::App& adapters, Action& action);
void AddAdapterDiffCommand(CLI::App& adapters, Action& action);

}  // namespace guildhall
