// guildhall inspect: what a model folder holds and whether it is served.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/format_bytes.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/inspect.h"
#include "checkpoint/model_folder.h"
#include "commands/commands.h"
#include "commands/device_flag.h"
#include "runtime/model_plan.h"

namespace guildhall {
namespace {

struct InspectFlags {
  std::string directory;
  std::vector<std::string> ignore_config_keys;
  BackendOptions backend;
  bool json = false;
};

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "guildhall inspect: %s\n", std::string(status.message()).c_str());
  return code;
}

// What would serve the folder here, and the memory that it can still give.
absl::StatusOr<std::string> DeviceText(const BackendOptions& options) {
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeBackend(options));
  const auto available = backend->memory().Available();
  if (!available.ok()) return StrCat(backend->Describe(), ", memory unknown");
  return StrCat(backend->Describe(), ", ", FormatBytes(available->bytes), " available (", available->source,
                ")");
}

// Bytes by format and number of tensors: what a folder of packed weights costs.
Json PackedReport(const PackedFolder& folder, const ModelSpec& spec) {
  const PackedManifest& manifest = folder.manifest();
  Json report{{"architecture", spec.architecture}, {"layers", spec.layers.size()},
              {"experts", spec.gate.experts},      {"packed_by", manifest.tool},
              {"packed_for", manifest.layout},     {"weights", WeightFormatsText(manifest.formats)},
              {"bytes", manifest.bytes},           {"tensors", manifest.tensors.size()},
              {"bytes_by_format", Json::object()}, {"sources", Json::array()}};
  for (const PackedTensor& tensor : manifest.tensors) {
    Json& bytes = report["bytes_by_format"][std::string(WeightFormatName(tensor.format))];
    bytes = tensor.bytes + (bytes.is_null() ? 0 : bytes.get<uint64_t>());
  }
  for (const PackedSource& source : manifest.sources)
    report["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}});
  return report;
}

// What the one reading of a folder that decides has found.
struct Verdict {
  absl::Status status;
  ModelFiles files;
  Problems beside_weights;  // of `status`, what the report of the weights does not say
  std::vector<std::string> unchecked;
};

Verdict Decide(const InspectFlags& flags, const CheckpointOptions& options) {
  Verdict verdict;
  auto files = OpenModelFiles(flags.directory, options, &verdict.beside_weights);
  verdict.status = files.status();
  if (!files.ok()) return verdict;
  verdict.files = *std::move(files);
  BaseModelOptions model;
  model.path = flags.directory;
  model.backend = flags.backend;
  verdict.status = CheckBaseModel(model, verdict.files, verdict.unchecked);
  verdict.beside_weights.Add(verdict.status);
  return verdict;
}

// Templates that do not compile serve nothing, and keep nothing else from being served.
void NoteTemplates(const TextAssets& text, std::vector<std::string>& notes) {
  for (const auto& [name, entry] : text.templates) {
    if (!entry.status.ok())
      notes.push_back(StrCat("chat template ", name, ": not usable: ", entry.status.message()));
  }
}

int PrintPacked(const InspectFlags& flags, const ModelFiles& files, const std::string& device,
                const std::vector<std::string>& unchecked) {
  Json report = PackedReport(*files.packed, files.checkpoint->spec());
  report["device"] = device;
  report["unchecked"] = unchecked;
  report["notes"] = files.notes;
  if (flags.json) {
    std::printf("%s\n", DumpJson(report, 2).c_str());
    return 0;
  }
  std::printf("%s: packed weights\n", flags.directory.c_str());
  for (const auto& [key, value] : report.items()) {
    std::printf("  %-16s %s\n", key.c_str(),
                value.is_string() ? value.get<std::string>().c_str() : DumpJson(value).c_str());
  }
  return 0;
}

std::vector<NamedLine> MachineLines(const std::string& device, const std::vector<std::string>& unchecked) {
  std::vector<NamedLine> lines{{"device", device}};
  for (const std::string& line : unchecked) lines.push_back({"not checked", line});
  return lines;
}

// 0: served, 1: nothing to say of it, 2: understood but not served.
int PrintInspection(const InspectFlags& flags) {
  CheckpointOptions options;
  options.ignore_config_keys = flags.ignore_config_keys;
  const auto device = DeviceText(flags.backend);
  if (!device.ok()) return Fail(device.status(), 1);
  const Verdict verdict = Decide(flags, options);
  const std::vector<std::string>& unchecked = verdict.unchecked;
  if (IsPackedFolder(flags.directory)) {
    if (!verdict.status.ok()) return Fail(verdict.status, 2);
    return PrintPacked(flags, verdict.files, *device, unchecked);
  }
  absl::StatusOr<Inspection> inspection = Inspect(flags.directory, options);
  if (!inspection.ok()) return Fail(inspection.status(), 1);
  inspection->served = verdict.status.ok();
  for (const Problem& problem : verdict.beside_weights.list()) inspection->problems.push_back(problem);
  for (const std::string& note : verdict.files.notes) {
    auto& notes = inspection->notes;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  if (verdict.files.checkpoint != nullptr) inspection->spec.eos_tokens = verdict.files.end_tokens;
  NoteTemplates(verdict.files.text, inspection->notes);
  if (flags.json) {
    Json report = InspectJson(*inspection);
    report["device"] = *device;
    report["unchecked"] = unchecked;
    std::printf("%s\n", DumpJson(report, 2).c_str());
  } else {
    std::printf("%s", InspectText(*inspection, MachineLines(*device, unchecked)).c_str());
  }
  return inspection->served ? 0 : 2;
}

}  // namespace

void AddInspectCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("inspect",
                                         "what a model folder holds, what it costs and whether it is served: "
                                         "exit 0 yes, 2 no, 1 no such folder");
  auto flags = std::make_shared<InspectFlags>();
  command->add_option("folder", flags->directory, "a Hugging Face model folder, or a packed one")->required();
  command->add_option("--ignore-config-key", flags->ignore_config_keys,
                      "a key of config.json that you know to be harmless (may be repeated)");
  flags->backend.device = "auto";
  AddDeviceFlag(*command, flags->backend);
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return PrintInspection(*flags); }; });
}

}  // namespace guildhall
