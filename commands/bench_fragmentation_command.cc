// guildhall bench fragmentation: memory beside the tensors' own bytes, paged and padded.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "bench/fragmentation.h"
#include "commands/commands.h"
#include "kernels/make_backend.h"

namespace guildhall {

void AddBenchFragmentationCommand(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand(
      "fragmentation",
      "how much memory 1 to N published ESFT adapters take beyond their tensors, paged and padded");
  auto most = std::make_shared<int>(20);
  command->add_option("--adapters", *most, "N")->check(CLI::Range(1, 1000))->capture_default_str();
  command->callback([most, &action] {
    action = [most] {
      const auto backend = MakeBackend({});
      if (!backend.ok()) {
        std::fprintf(stderr, "guildhall bench fragmentation: %s\n",
                     std::string(backend.status().message()).c_str());
        return 1;
      }
      std::printf("%s", FragmentationTable(MeasureFragmentation(**backend, *most)).c_str());
      return 0;
    };
  });
}

}  // namespace guildhall
