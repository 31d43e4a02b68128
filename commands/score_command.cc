// guildhall score: how probable a model finds given texts,
// with any adapters, through the engine in one batch.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "commands/commands.h"
#include "commands/device_flag.h"
#include "commands/local_adapters.h"
#include "commands/progress.h"
#include "commands/token_files.h"
#include "runtime/base_model.h"
#include "tools/npy.h"
#include "tools/score.h"

namespace guildhall {
namespace {

using Sequences = std::vector<ScoreSequence>;

struct ScoreFlags {
  BaseModelOptions model;
  std::string tokens_file, text_file, logits_dir, weights = "auto";
  std::vector<std::string> adapters;  // NAME=DIR
  std::string kv_dtype = "auto";
  bool json = false;
};

// The adapters' names in front of a sequence's line; nothing for the base.
std::string AdaptersOf(const ScoreSequence& sequence) {
  std::string text;
  if (sequence.adapters == nullptr) return text;
  for (const AdapterSet::Member& member : sequence.adapters->members)
    text += (text.empty() ? " (" : ", ") + member.name;
  return text + ")";
}

absl::StatusOr<Sequences> ReadSequences(const ScoreFlags& flags, const BaseModel& model,
                                        WeightManager& manager) {
  const ModelSpec& spec = model.decoder->spec();
  GH_ASSIGN_OR_RETURN(const std::vector<TokenSequence> read,
                      flags.text_file.empty() ? ReadTokensFile(flags.tokens_file, spec)
                                              : ReadTextFile(flags.text_file, model.text, spec, false));
  Sequences sequences;
  for (size_t i = 0; i < read.size(); ++i) {
    absl::StatusOr<std::shared_ptr<const AdapterSet>> adapters = AcquireFor(manager, read[i]);
    if (!adapters.ok()) {
      return absl::Status(adapters.status().code(),
                          StrCat("sequence ", i, ": ", std::string(adapters.status().message())));
    }
    sequences.push_back({.tokens = read[i].tokens, .adapters = *std::move(adapters)});
  }
  return sequences;
}

// D/0.npy, D/1.npy ...: one file per sequence, (tokens, vocabulary).
class LogitFiles {
 public:
  static absl::StatusOr<LogitFiles> Create(const std::string& directory, const Sequences& sequences,
                                           int64_t vocabulary) {
    LogitFiles files;
    if (directory.empty()) return files;
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return absl::PermissionDeniedError(directory + ": cannot be created: " + error.message());
    for (size_t i = 0; i < sequences.size(); ++i) {
      GH_ASSIGN_OR_RETURN(NpyWriter writer,
                          NpyWriter::Create(directory + "/" + std::to_string(i) + ".npy",
                                            static_cast<int64_t>(sequences[i].tokens.size()), vocabulary));
      files.writers_.push_back(std::move(writer));
    }
    return files;
  }

  absl::Status Append(size_t sequence, std::span<const float> logits) {
    return writers_.empty() ? absl::OkStatus() : writers_[sequence].Append(logits);
  }

  absl::Status Close() {
    for (NpyWriter& writer : writers_) GH_RETURN_IF_ERROR(writer.Close());
    return absl::OkStatus();
  }

 private:
  std::vector<NpyWriter> writers_;
};

void PrintText(const Sequences& sequences, const std::vector<ScoreResult>& results) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    const std::vector<int32_t>& tokens = sequences[i].tokens;
    std::printf("sequence %zu%s: %zu tokens, perplexity %.6g\n", i, AdaptersOf(sequences[i]).c_str(),
                tokens.size(), results[i].perplexity);
    std::printf("%8s %10s %12s\n%8d %10d %12s\n", "position", "token", "logprob", 0, tokens[0], "-");
    for (size_t j = 1; j < tokens.size(); ++j) {
      std::printf("%8zu %10d %12.6f\n", j, tokens[j], static_cast<double>(results[i].logprobs[j - 1]));
    }
  }
}

void PrintJson(const Sequences& sequences, const std::vector<ScoreResult>& results) {
  Json report = Json::array();
  for (size_t i = 0; i < sequences.size(); ++i) {
    Json item{{"tokens", sequences[i].tokens}, {"logprobs", results[i].logprobs}, {"perplexity", nullptr}};
    if (sequences[i].adapters != nullptr) {
      for (const AdapterSet::Member& member : sequences[i].adapters->members) {
        item["adapters"].push_back({{"name", member.name}, {"scale", member.scale}});
      }
    }
    if (!results[i].logprobs.empty()) item["perplexity"] = results[i].perplexity;
    report.push_back(std::move(item));
  }
  std::printf("%s\n", DumpJson(report, 2).c_str());
}

absl::Status Score(const ScoreFlags& flags) {
  BaseModelOptions options_of_model = flags.model;
  GH_ASSIGN_OR_RETURN(options_of_model.formats, ParseWeightFormats(flags.weights));
  LoadProgress progress("loading " + flags.model.path);
  GH_ASSIGN_OR_RETURN(
      const BaseModel model,
      LoadBaseModel(options_of_model, {}, [&](size_t done, size_t all) { progress.Update(done, all); }));
  const ModelSpec& spec = model.decoder->spec();
  GH_ASSIGN_OR_RETURN(const std::vector<NamedFolder> folders, ParseNamedFolders(flags.adapters));
  const std::unique_ptr<WeightManager> manager = MakeLocalManager(model);
  EngineOptions options;
  options.token_budget = options.prefill_chunk = static_cast<int>(model.decoder->max_rows());
  options.max_running = static_cast<int>(flags.model.max_sequences);
  // The engine takes its share of the memory before the adapters do.
  ShareBudget(model, options);
  Engine engine(*model.decoder, options, {TaskPolicy{}}, manager.get());
  GH_RETURN_IF_ERROR(LoadFolders(*manager, model, folders, flags.model.checkpoint.ignore_config_keys));
  GH_ASSIGN_OR_RETURN(const Sequences sequences, ReadSequences(flags, model, *manager));
  GH_ASSIGN_OR_RETURN(LogitFiles files, LogitFiles::Create(flags.logits_dir, sequences, spec.vocabulary));
  engine.Start();
  GH_ASSIGN_OR_RETURN(const std::vector<ScoreResult> results,
                      Score(engine, sequences, [&](size_t sequence, int32_t, std::span<const float> logits) {
                        return files.Append(sequence, logits);
                      }));
  GH_RETURN_IF_ERROR(files.Close());
  flags.json ? PrintJson(sequences, results) : PrintText(sequences, results);
  return absl::OkStatus();
}

int RunScore(const ScoreFlags& flags) {
  const absl::Status status = Score(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall score: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

void AddScoreCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("score", "each token's log-probability and the perplexity of given sequences");
  auto flags = std::make_shared<ScoreFlags>();
  command->add_option("--model", flags->model.path, "a Hugging Face model folder")->required();
  command->add_option("--ignore-config-key", flags->model.checkpoint.ignore_config_keys,
                      "a key of config.json or of an adapter's configuration that you know to be harmless "
                      "(may be repeated)");
  CLI::Option* tokens = command->add_option(
      "--tokens-file", flags->tokens_file,
      "JSON array of sequences, each an array of token ids, {\"tokens\": [...]}, or with adapters\n"
      "{\"task\": NAME, \"tokens\": [...]}, {\"adapters\": [NAME, {\"name\": NAME, \"scale\": 0.5}], "
      "\"tokens\": [...]}");
  command->add_option("--text", flags->text_file, "a text file, scored as one sequence")->excludes(tokens);
  command->add_option(
      "--logits-dir", flags->logits_dir,
      "write DIR/0.npy, DIR/1.npy ...: the logits after each token, float32 (tokens, vocabulary)");
  command
      ->add_option("--adapter", flags->adapters,
                   "NAME=DIR: an ESFT or PEFT folder that sequences may name (repeatable)")
      ->allow_extra_args(false);
  command
      ->add_option(
          "--weights", flags->weights,
          "formats to compute in: int8, or by kind experts=int4,attention=int8; auto: the folder's own")
      ->capture_default_str();
  AddDeviceFlag(*command, flags->model.backend);
  command->add_option("--threads", flags->model.backend.cpu.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_option("--isa", flags->model.backend.cpu.isa,
                      "portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
  command
      ->add_option("--context", flags->model.checkpoint.max_positions,
                   "positions to allow instead of what config.json says; 0: as it says")
      ->check(CLI::Range(0, 1 << 30));
  command->add_option("--kv", flags->model.kv_budget, "memory of the KV cache: bytes, a share or auto")
      ->capture_default_str();
  command->add_option("--kv-dtype", flags->kv_dtype, "number format of the KV cache")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16", "int8"}))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] {
    flags->model.kv_format = ParseKvFormat(flags->kv_dtype);  // nullopt for "auto"
    if (flags->tokens_file.empty() && flags->text_file.empty())
      throw CLI::RequiredError("--tokens-file or --text");
    action = [flags] { return RunScore(*flags); };
  });
}

}  // namespace guildhall
