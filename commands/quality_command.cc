// guildhall quality: what a weight format costs, measured on given examples against the checkpoint as it is.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/status.h"
#include "commands/commands.h"
#include "commands/device_flag.h"
#include "commands/local_adapters.h"
#include "commands/progress.h"
#include "commands/quality_examples.h"
#include "runtime/base_model.h"
#include "tools/score.h"

namespace guildhall {
namespace {

struct QualityFlags {
  BaseModelOptions model;
  std::string examples_file;
  std::vector<std::string> adapters;  // NAME=DIR
  std::vector<std::string> weights{"int8", "experts=int4,attention=int8,head=int8", "int4"};
  std::vector<std::string> kv_formats{"int8"};
  bool json = false;
};

// One model in one set of formats, over all examples.
struct QualityRun {
  std::string formats;  // as the report says it
  uint64_t weight_bytes = 0;
  std::unique_ptr<QualityMeter> meter;
};

absl::StatusOr<std::vector<ScoreSequence>> WithAdapters(const std::vector<TokenSequence>& read,
                                                        WeightManager& manager) {
  std::vector<ScoreSequence> sequences;
  for (const TokenSequence& sequence : read) {
    GH_ASSIGN_OR_RETURN(auto adapters, AcquireFor(manager, sequence));
    sequences.push_back({.tokens = sequence.tokens, .adapters = std::move(adapters)});
  }
  return sequences;
}

// Loads the model in its formats, then scores; the model is gone when this returns.
class QualityMeasure {
 public:
  explicit QualityMeasure(const QualityFlags& flags) : flags_(flags) {}

  absl::Status Run() {
    GH_ASSIGN_OR_RETURN(folders_, ParseNamedFolders(flags_.adapters));
    BaseModelOptions options = flags_.model;
    GH_RETURN_IF_ERROR(Measure("weights auto", options));
    for (const std::string& formats : flags_.weights) {
      GH_ASSIGN_OR_RETURN(options.formats, ParseWeightFormats(formats));
      GH_RETURN_IF_ERROR(Measure("weights " + formats, options));
    }
    options.formats = {};
    for (const std::string& format : flags_.kv_formats) {
      options.kv_format = ParseKvFormat(format);
      GH_RETURN_IF_ERROR(Measure("weights auto, KV cache " + format, options));
    }
    return absl::OkStatus();
  }

  const std::vector<QualityRun>& runs() const { return runs_; }

 private:
  absl::Status Measure(const std::string& formats, const BaseModelOptions& options) {
    LoadProgress progress("loading " + options.path + " (" + formats + ")");
    GH_ASSIGN_OR_RETURN(const BaseModel model, LoadBaseModel(options, {}, [&](size_t done, size_t all) {
                          progress.Update(done, all);
                        }));
    if (runs_.empty()) {
      GH_ASSIGN_OR_RETURN(examples_,
                          ReadQualityExamples(flags_.examples_file, model.text, model.decoder->spec()));
    }
    QualityRun run{formats, model.memory.weights,
                   std::make_unique<QualityMeter>(examples_.examples,
                                                  runs_.empty() ? nullptr : runs_.front().meter.get())};
    GH_RETURN_IF_ERROR(ScoreInto(model, *run.meter));
    runs_.push_back(std::move(run));
    return absl::OkStatus();
  }

  absl::Status ScoreInto(const BaseModel& model, QualityMeter& meter) {
    const std::unique_ptr<WeightManager> manager = MakeLocalManager(model);
    EngineOptions options;
    options.token_budget = options.prefill_chunk = static_cast<int>(model.decoder->max_rows());
    options.max_running = static_cast<int>(flags_.model.max_sequences);
    ShareBudget(model, options);
    Engine engine(*model.decoder, options, {TaskPolicy{}}, manager.get());
    GH_RETURN_IF_ERROR(LoadFolders(*manager, model, folders_, flags_.model.checkpoint.ignore_config_keys));
    GH_ASSIGN_OR_RETURN(const std::vector<ScoreSequence> sequences,
                        WithAdapters(examples_.sequences, *manager));
    engine.Start();
    return Score(engine, sequences,
                 [&](size_t sequence, int32_t position, std::span<const float> logits) {
                   meter.Add(sequence, position, logits);
                   return absl::OkStatus();
                 })
        .status();
  }

  const QualityFlags& flags_;
  std::vector<NamedFolder> folders_;
  QualityExamples examples_;
  std::vector<QualityRun> runs_;
};

void PrintText(const std::vector<QualityRun>& runs) {
  for (const QualityRun& run : runs) {
    std::printf("%s: %.1f MB\n", run.formats.c_str(), static_cast<double>(run.weight_bytes) * 1e-6);
    std::printf("  %-20s %9s %10s %11s %12s %12s %10s\n", "group", "examples", "accuracy", "perplexity",
                "divergence", "worst", "agreement");
    for (const auto& [group, f] : run.meter->Figures()) {
      std::printf("  %-20s %9lld %10.3f %11.4f %12.3g %12.3g %10.4f\n",
                  group.empty() ? "(all)" : group.c_str(), static_cast<long long>(f.examples), f.accuracy,
                  f.perplexity, f.divergence, f.worst, f.agreement);
    }
  }
  std::printf(
      "\naccuracy: examples whose every expected token is the most likely one. divergence: KL from the "
      "checkpoint's own\n"
      "formats (the first block) in nats, mean and worst position. agreement: positions with the same most "
      "likely "
      "token.\n");
}

void PrintJson(const std::vector<QualityRun>& runs) {
  Json report = Json::array();
  for (const QualityRun& run : runs) {
    Json groups = Json::object();
    for (const auto& [group, f] : run.meter->Figures()) {
      groups[group] = {{"examples", f.examples},     {"positions", f.positions},
                       {"accuracy", f.accuracy},     {"perplexity", f.perplexity},
                       {"divergence", f.divergence}, {"worst_divergence", f.worst},
                       {"agreement", f.agreement}};
    }
    report.push_back(
        {{"formats", run.formats}, {"weight_bytes", run.weight_bytes}, {"groups", std::move(groups)}});
  }
  std::printf("%s\n", DumpJson(report, 2).c_str());
}

int RunQuality(const QualityFlags& flags) {
  QualityMeasure measure(flags);
  if (const absl::Status status = measure.Run(); !status.ok()) {
    std::fprintf(stderr, "guildhall quality: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  flags.json ? PrintJson(measure.runs()) : PrintText(measure.runs());
  return 0;
}

}  // namespace

void AddQualityCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "quality",
      "what weight formats cost: accuracy, perplexity and divergence on examples, against the checkpoint");
  auto flags = std::make_shared<QualityFlags>();
  command->add_option("--model", flags->model.path, "a Hugging Face model folder")->required();
  command->add_option("--ignore-config-key", flags->model.checkpoint.ignore_config_keys,
                      "a key of config.json or of an adapter's configuration that you know to be harmless "
                      "(may be repeated)");
  command
      ->add_option(
          "--examples", flags->examples_file,
          "JSON array of {\"messages\": [...], \"expected\": TEXT} or {\"text\": TEXT}, each with an\n"
          "optional \"group\" (a line of the report) and \"adapters\": [NAME]")
      ->required();
  command
      ->add_option("--weights", flags->weights,
                   "formats to compare (repeatable): int8, or experts=int4,attention=int8,head=int8")
      ->allow_extra_args(false)
      ->capture_default_str();
  command
      ->add_option("--kv-dtype", flags->kv_formats,
                   "formats of the KV cache to compare, beside the checkpoint's weights")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "int8"}))
      ->allow_extra_args(false)
      ->capture_default_str();
  command
      ->add_option("--adapter", flags->adapters,
                   "NAME=DIR: an ESFT or PEFT folder that examples may name (repeatable)")
      ->allow_extra_args(false);
  AddDeviceFlag(*command, flags->model.backend);
  command->add_option("--threads", flags->model.backend.cpu.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_option("--isa", flags->model.backend.cpu.isa,
                      "portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
  command->add_option("--kv", flags->model.kv_budget, "memory of the KV cache: bytes, a share or auto")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return RunQuality(*flags); }; });
}

}  // namespace guildhall
