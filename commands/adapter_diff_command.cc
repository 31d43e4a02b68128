// guildhall adapters diff: a fine-tuned checkpoint becomes an adapter folder of what it changed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "commands/commands.h"
#include "tools/diff.h"

namespace guildhall {
namespace {

struct DiffFlags {
  std::string base, tuned, out;
  DiffOptions options;
  bool json = false;
};

double MiB(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

void PrintDiff(const DiffReport& report) {
  if (!report.esft_directory.empty()) {
    size_t experts = 0;
    for (const auto& [layer, ids] : report.experts) experts += ids.size();
    std::printf("%s: ESFT, %.2f MiB, %zu experts in %zu layers%s\n", report.esft_directory.c_str(),
                MiB(report.esft_bytes), experts, report.experts.size(),
                report.shared_layers.empty() ? "" : ", and shared experts");
    for (const auto& [layer, ids] : report.experts) {
      std::printf("  layer %3d:", layer);
      for (const int id : ids) std::printf(" %d", id);
      std::printf("\n");
    }
    for (const int layer : report.shared_layers) std::printf("  layer %3d: shared experts\n", layer);
  }
  if (!report.lora_directory.empty()) {
    std::printf("%s: LoRA, %.2f MiB; relative error of each change:\n", report.lora_directory.c_str(),
                MiB(report.lora_bytes));
    for (const DiffReport::Fitted& fitted : report.low_rank) {
      std::printf("  %s: rank %lld, %.2e\n", fitted.module.c_str(), static_cast<long long>(fitted.rank),
                  fitted.relative_error);
    }
  }
}

void PrintDiffJson(const DiffReport& report) {
  Json experts = Json::object(), low_rank = Json::array();
  for (const auto& [layer, ids] : report.experts) experts[std::to_string(layer)] = ids;
  for (const DiffReport::Fitted& fitted : report.low_rank) {
    low_rank.push_back(
        {{"module", fitted.module}, {"rank", fitted.rank}, {"relative_error", fitted.relative_error}});
  }
  std::printf("%s\n", DumpJson(Json{{"experts", experts},
                                    {"shared_layers", report.shared_layers},
                                    {"low_rank", low_rank},
                                    {"esft", report.esft_directory},
                                    {"esft_bytes", report.esft_bytes},
                                    {"lora", report.lora_directory},
                                    {"lora_bytes", report.lora_bytes}},
                               2)
                          .c_str());
}

// 0: written, 2: refused or failed, with the reason.
int RunDiff(const DiffFlags& flags) {
  const absl::StatusOr<DiffReport> report =
      DiffCheckpoints(flags.base, flags.tuned, flags.out, flags.options);
  if (!report.ok()) {
    std::fprintf(stderr, "guildhall adapters diff: %s\n", std::string(report.status().message()).c_str());
    return 2;
  }
  flags.json ? PrintDiffJson(*report) : PrintDiff(*report);
  return 0;
}

}  // namespace

void AddAdapterDiffCommand(CLI::App& adapters, Action& action) {
  CLI::App* command =
      adapters.add_subcommand("diff",
                              "finds the experts that a fine-tuned checkpoint changed and writes them as an "
                              "ESFT folder; what else was changed\n"
                              "is refused by name, or written as a LoRA with --low-rank\n"
                              "example: guildhall adapters diff models/base models/base-law adapters/law");
  auto flags = std::make_shared<DiffFlags>();
  command->add_option("base", flags->base, "the base model's folder")->required();
  command->add_option("tuned", flags->tuned, "the fine-tuned model's folder, of the same architecture")
      ->required();
  command->add_option("out", flags->out, "the ESFT folder to write; a LoRA goes beside it, to OUT-lora")
      ->required();
  command
      ->add_option("--low-rank", flags->options.low_rank,
                   "rank of the LoRA that holds changes outside the experts")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return RunDiff(*flags); }; });
}

}  // namespace guildhall
