// guildhall experts stats: which experts a task's text uses, and which of them to fine-tune.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "commands/commands.h"
#include "commands/device_flag.h"
#include "commands/expert_heat_map.h"
#include "commands/progress.h"
#include "commands/token_files.h"
#include "runtime/base_model.h"
#include "tools/expert_relevance.h"

namespace guildhall {
namespace {

struct StatsFlags {
  BaseModelOptions model;
  std::string task, text_file, tokens_file, score = "token", config_file, svg_file;
  double p = 0.2;
  bool shared_experts = false;
  bool json = false;
};

using Chosen = std::map<int, std::vector<int>>;

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return absl::PermissionDeniedError(path + ": cannot be written");
  return absl::OkStatus();
}

Json ConfigJson(const Chosen& chosen, bool shared_experts) {
  Json experts = Json::object();
  for (const auto& [layer, ids] : chosen) experts[std::to_string(layer)] = ids;
  return Json{{"experts", experts}, {"shared_experts", shared_experts}, {"non_expert_modules", false}};
}

Json ReportJson(const StatsFlags& flags, const ExpertRelevance& relevance, const Chosen& chosen) {
  Json layers = Json::array();
  for (const LayerRelevance& layer : relevance.layers) {
    layers.push_back({{"layer", layer.layer},
                      {"gate", layer.gate},
                      {"token", layer.token},
                      {"chosen", chosen.at(layer.layer)}});
  }
  return Json{{"task", flags.task},
              {"tokens", relevance.tokens},
              {"score", flags.score},
              {"p", flags.p},
              {"layers", layers}};
}

void PrintTable(const StatsFlags& flags, const ExpertRelevance& relevance, const Chosen& chosen) {
  std::printf("%lld tokens; %s score, p = %g\n%6s %8s %9s  experts (share), the most relevant first\n",
              static_cast<long long>(relevance.tokens), flags.score.c_str(), flags.p, "layer", "chosen",
              "covered");
  size_t all = 0, experts = 0;
  for (const LayerRelevance& layer : relevance.layers) {
    const std::vector<double>& scores = flags.score == "gate" ? layer.gate : layer.token;
    double sum = 0.0, covered = 0.0;
    for (const double score : scores) sum += score;
    std::vector<int> ids = chosen.at(layer.layer);
    for (const int id : ids) covered += scores[static_cast<size_t>(id)];
    std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    std::printf("%6d %8zu %8.1f%% ", layer.layer, ids.size(), sum > 0 ? 100.0 * covered / sum : 0.0);
    for (size_t i = 0; i < std::min<size_t>(ids.size(), 8); ++i) {
      std::printf(" %d (%.1f%%)", ids[i], sum > 0 ? 100.0 * scores[static_cast<size_t>(ids[i])] / sum : 0.0);
    }
    std::printf("%s\n", ids.size() > 8 ? " ..." : "");
    all += ids.size();
    experts += scores.size();
  }
  std::printf("chosen: %zu of %zu experts (%.1f%%)\n", all, experts,
              experts > 0 ? 100.0 * static_cast<double>(all) / static_cast<double>(experts) : 0.0);
}

absl::Status Stats(StatsFlags flags) {
  LoadProgress progress("loading " + flags.model.path);
  flags.model.max_sequences = 1;
  GH_ASSIGN_OR_RETURN(const BaseModel model, LoadBaseModel(flags.model, {}, [&](size_t done, size_t all) {
                        progress.Update(done, all);
                      }));
  const ModelSpec& spec = model.decoder->spec();
  if (!spec.moe()) {
    return absl::FailedPreconditionError(StrCat(flags.model.path, ": expected a mixture of experts, found ",
                                                spec.architecture, ", which has none"));
  }
  GH_ASSIGN_OR_RETURN(const std::vector<TokenSequence> read,
                      flags.text_file.empty() ? ReadTokensFile(flags.tokens_file, spec)
                                              : ReadTextFile(flags.text_file, model.text, spec, true));
  std::vector<std::vector<int32_t>> sequences;
  const auto most = static_cast<size_t>(model.decoder->kv_blocks() * kKvBlockTokens);
  for (size_t i = 0; i < read.size(); ++i) {
    if (read[i].tokens.size() > most) {
      return absl::ResourceExhaustedError(StrCat("sequence ", i, " has ", read[i].tokens.size(),
                                                 " tokens, and the KV cache holds ", most,
                                                 "; raise --kv or cut the text into shorter lines"));
    }
    sequences.push_back(read[i].tokens);
  }
  GH_ASSIGN_OR_RETURN(const ExpertRelevance relevance, MeasureExperts(*model.decoder, sequences));
  const RelevanceScore score = flags.score == "gate" ? RelevanceScore::kGate : RelevanceScore::kToken;
  const Chosen chosen = ChooseExperts(relevance, score, flags.p);
  if (!flags.config_file.empty()) {
    GH_RETURN_IF_ERROR(
        WriteFile(flags.config_file, DumpJson(ConfigJson(chosen, flags.shared_experts), 2) + "\n"));
  }
  if (!flags.svg_file.empty()) {
    const std::string title = StrCat(flags.task.empty() ? "" : flags.task + ": ", "expert relevance, ",
                                     flags.score, " score, p = ", flags.p);
    GH_RETURN_IF_ERROR(WriteFile(flags.svg_file, ExpertHeatMap(relevance, score, chosen, title)));
  }
  if (flags.json) {
    std::printf("%s\n", DumpJson(ReportJson(flags, relevance, chosen), 2).c_str());
  } else {
    PrintTable(flags, relevance, chosen);
  }
  return absl::OkStatus();
}

int RunStats(const StatsFlags& flags) {
  const absl::Status status = Stats(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall experts stats: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

void AddExpertsCommand(CLI::App& app, Action& action) {
  CLI::App* experts = app.add_subcommand("experts", "which experts a task uses");
  experts->require_subcommand(1);
  CLI::App* command =
      experts->add_subcommand("stats",
                              "runs a task's text through the model and shows each layer's most relevant "
                              "experts: those to fine-tune (ESFT)\n"
                              "example: guildhall experts stats --model DIR --task law --text law.txt --p "
                              "0.2 --config expert_cfg.json --svg law.svg");
  auto flags = std::make_shared<StatsFlags>();
  command->add_option("--model", flags->model.path, "a Hugging Face model folder")->required();
  command->add_option("--ignore-config-key", flags->model.checkpoint.ignore_config_keys,
                      "a key of config.json that you know to be harmless (may be repeated)");
  command->add_option("--task", flags->task, "the task's name, for titles");
  CLI::Option* text = command->add_option("--text", flags->text_file,
                                          "a text file; each line is a sequence (render chats before)");
  command
      ->add_option("--tokens-file", flags->tokens_file, "JSON array of arrays of token ids instead of text")
      ->excludes(text);
  command->add_option("--score", flags->score, "token: share of the selections; gate: mean gate weight")
      ->check(CLI::IsMember({"token", "gate"}))
      ->capture_default_str();
  command->add_option("--p", flags->p, "choose a layer's experts until their scores add up to this")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--config", flags->config_file, "write the choice as expert_cfg.json to this file");
  command->add_flag("--shared-experts", flags->shared_experts,
                    "let the configuration also train the shared experts");
  command->add_option("--svg", flags->svg_file, "write a heat map to this file");
  AddDeviceFlag(*command, flags->model.backend);
  command->add_option("--threads", flags->model.backend.cpu.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_option("--kv", flags->model.kv_budget, "memory of the KV cache: bytes, a share or auto")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "print JSON, with every expert's scores");
  command->callback([flags, &action] {
    if (flags->text_file.empty() && flags->tokens_file.empty())
      throw CLI::RequiredError("--text or --tokens-file");
    action = [flags] { return RunStats(*flags); };
  });
}

}  // namespace guildhall
