// guildhall adapters inspect: what an adapter folder changes, and whether a base model can serve it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "adapters/adapter_folder.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/checkpoint.h"
#include "commands/commands.h"
#include "runtime/adapter_text.h"
#include "runtime/end_tokens.h"
#include "runtime/generation_defaults.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

struct InspectAdapterFlags {
  std::string folder, model;
  AdapterFolderOptions options;
  bool json = false;
};

// Everything but the values is checked when a folder is opened; this reads them too.
absl::Status ReadAll(const AdapterSource& source) {
  AdapterSource::Scratch a, b;
  for (const ReplacedFfn& ffn : source.manifest().replaced) {
    const bool shared = ffn.expert < 0;
    for (const WeightRole role : {shared ? WeightRole::kSharedGate : WeightRole::kExpertGate,
                                  shared ? WeightRole::kSharedUp : WeightRole::kExpertUp,
                                  shared ? WeightRole::kSharedDown : WeightRole::kExpertDown}) {
      GH_RETURN_IF_ERROR(source.ReadReplaced({role, ffn.layer, ffn.expert}, a).status());
    }
  }
  for (const LowRankChange& change : source.manifest().low_rank) {
    GH_RETURN_IF_ERROR(source.ReadLowRank(change, a, b).status());
  }
  return source.CheckUnchanged();
}

// Replaced experts by layer; -1 stands for the shared ones.
std::map<int, std::vector<int>> ReplacedByLayer(const AdapterManifest& manifest) {
  std::map<int, std::vector<int>> layers;
  for (const ReplacedFfn& ffn : manifest.replaced) layers[ffn.layer].push_back(ffn.expert);
  return layers;
}

std::string ListOf(const std::vector<int>& experts) {
  std::string text;
  for (const int expert : experts) {
    text += (text.empty() ? "" : " ") + (expert < 0 ? std::string("shared") : std::to_string(expert));
  }
  return text;
}

// One line per module in the order of layers; stacked experts are one module with many weights.
void PrintModules(const AdapterManifest& manifest) {
  constexpr size_t kMostLines = 40;
  std::map<std::pair<int, std::string>, std::vector<const LowRankChange*>> modules;
  for (const LowRankChange& change : manifest.low_rank)
    modules[{change.key.layer, change.module}].push_back(&change);
  size_t lines = 0;
  for (const auto& [name, changes] : modules) {
    if (++lines > kMostLines) continue;
    const LowRankChange& change = *changes.front();
    std::printf("  %s: rank %" PRId64 ", scale %g%s", change.module.c_str(), change.rank,
                static_cast<double>(change.scale), change.dora ? ", DoRA" : "");
    std::printf(changes.size() > 1 ? " (%zu weights)\n" : "\n", changes.size());
  }
  if (lines > kMostLines) std::printf("  ... and %zu modules more (--json lists all)\n", lines - kMostLines);
}

void PrintManifest(const AdapterManifest& manifest, const Checkpoint& base) {
  const ModelSpec& spec = base.spec();
  std::printf(
      "kind:      %s\nbase:      %s (recorded); fits %s by its shapes\ntensors:   %.2f MiB in files\n",
      manifest.kind.c_str(), manifest.base_name.empty() ? "nothing" : manifest.base_name.c_str(),
      spec.architecture.c_str(), static_cast<double>(manifest.file_bytes) / (1 << 20));
  if (!manifest.replaced.empty()) {
    const auto layers = ReplacedByLayer(manifest);
    std::printf("replaces:  %zu networks in %zu layers\n", manifest.replaced.size(), layers.size());
    for (const auto& [layer, experts] : layers)
      std::printf("  layer %3d: %s\n", layer, ListOf(experts).c_str());
  }
  if (!manifest.low_rank.empty()) {
    std::set<int64_t> ranks;
    for (const LowRankChange& change : manifest.low_rank) ranks.insert(change.rank);
    std::printf("low rank:  %zu weights, ranks", manifest.low_rank.size());
    for (const int64_t rank : ranks) std::printf(" %" PRId64, rank);
    std::printf("\n");
    PrintModules(manifest);
  }
  for (const std::string& note : manifest.notes) std::printf("note:      %s\n", note.c_str());
  std::printf("served:    yes\n");
}

void PrintManifestJson(const AdapterManifest& manifest) {
  Json replaced = Json::array(), low_rank = Json::array();
  for (const ReplacedFfn& ffn : manifest.replaced) {
    Json item{{"layer", ffn.layer}, {"dtype", DTypeName(ffn.gate)}};
    item["expert"] = ffn.expert < 0 ? Json("shared") : Json(ffn.expert);
    replaced.push_back(std::move(item));
  }
  for (const LowRankChange& change : manifest.low_rank) {
    low_rank.push_back({{"module", change.module},
                        {"expert", change.key.expert},
                        {"rank", change.rank},
                        {"scale", change.scale},
                        {"dtype", DTypeName(change.dtype)},
                        {"dora", change.dora}});
  }
  std::printf("%s\n", DumpJson(Json{{"kind", manifest.kind},
                                    {"base", manifest.base_name},
                                    {"file_bytes", manifest.file_bytes},
                                    {"replaced", replaced},
                                    {"low_rank", low_rank},
                                    {"notes", manifest.notes},
                                    {"served", true}},
                               2)
                          .c_str());
}

// The flag is for both configurations: a key that one of them needs is none of the other's business.
void NoteIdleWaivers(const std::vector<std::string>& keys, const Checkpoint& base,
                     AdapterManifest& manifest) {
  for (const std::string& key : keys) {
    const auto& waived = manifest.waived;
    if (std::find(waived.begin(), waived.end(), key) != waived.end()) continue;
    const std::string begin = StrCat("ignore_config_keys: ", Quote(key), ":");
    const bool idle = std::any_of(base.notes().begin(), base.notes().end(),
                                  [&](const std::string& note) { return note.starts_with(begin); });
    if (idle) manifest.notes.push_back(StrCat(begin, " neither configuration needs it"));
  }
}

absl::Status InspectAdapter(const InspectAdapterFlags& flags) {
  CheckpointOptions checkpoint;
  checkpoint.ignore_config_keys = flags.options.ignore_config_keys;
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> base, Checkpoint::Open(flags.model, checkpoint));
  GH_ASSIGN_OR_RETURN(const TextAssets text, LoadTextAssets(flags.model));
  AdapterTextRules rules{.text = &text, .vocabulary = base->spec().vocabulary};
  GH_ASSIGN_OR_RETURN(rules.defaults, GenerationDefaults(base->generation()));
  std::vector<std::string> of_the_model;
  GH_ASSIGN_OR_RETURN(rules.end_tokens, EndTokens(base->spec(), text, {}, of_the_model));
  AdapterFolderOptions options = flags.options;
  options.notes = ReadAdapterText(flags.folder, rules).notes;
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<AdapterSource> source,
                      OpenAdapterFolder(flags.folder, *base, options));
  GH_RETURN_IF_ERROR(ReadAll(*source));
  AdapterManifest manifest = source->manifest();
  NoteIdleWaivers(flags.options.ignore_config_keys, *base, manifest);
  if (flags.json) {
    PrintManifestJson(manifest);
  } else {
    PrintManifest(manifest, *base);
  }
  return absl::OkStatus();
}

// 0: served, 2: not served, with the reason.
int RunInspectAdapter(const InspectAdapterFlags& flags) {
  const absl::Status status = InspectAdapter(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall adapters inspect: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace

void AddAdapterInspectCommand(CLI::App& adapters, Action& action) {
  CLI::App* command = adapters.add_subcommand("inspect",
                                              "what an adapter folder changes and whether a base model can "
                                              "serve it (no server needed): exit 0 yes, 2 no\n"
                                              "example: guildhall adapters inspect my-adapter --model DIR");
  auto flags = std::make_shared<InspectAdapterFlags>();
  command->add_option("folder", flags->folder, "an ESFT or PEFT folder")->required();
  command->add_option("--model", flags->model, "the base model's Hugging Face folder")->required();
  command->add_option("--expert-config", flags->options.expert_config, "ESFT: an expert_cfg.json elsewhere");
  command->add_option(
      "--ignore-config-key", flags->options.ignore_config_keys,
      "a key of the adapter's or the model's configuration that you know to be harmless (may be repeated)");
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] {
    std::string& config = flags->options.expert_config;  // relative to where the command runs
    if (!config.empty()) config = std::filesystem::absolute(config).string();
    action = [flags] { return RunInspectAdapter(*flags); };
  });
}

}  // namespace guildhall
