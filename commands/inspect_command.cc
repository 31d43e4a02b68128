// guildhall inspect: what a model folder holds and whether it is served.
#include <CLI/CLI.hpp>
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
#include "model/packed_folder.h"

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

// The manifest is checked against config.json and the file's size; checksums are compared at load.
int PrintPacked(const InspectFlags& flags, const CheckpointOptions& options) {
  const auto folder = PackedFolder::Open(flags.directory);
  if (!folder.ok()) return Fail(folder.status(), 2);
  const PackedManifest& manifest = (*folder)->manifest();
  const auto model =
      Checkpoint::OpenPacked(flags.directory, options, manifest.dtype, manifest.tensors.size());
  if (!model.ok()) return Fail(model.status(), 2);
  const auto device = DeviceText(flags.backend);
  if (!device.ok()) return Fail(device.status(), 1);
  Json report = PackedReport(**folder, (*model)->spec());
  report["device"] = *device;
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

// 0: served, 1: nothing to say of it, 2: understood but not served.
int PrintInspection(const InspectFlags& flags) {
  CheckpointOptions options;
  options.ignore_config_keys = flags.ignore_config_keys;
  if (IsPackedFolder(flags.directory)) return PrintPacked(flags, options);
  const absl::StatusOr<Inspection> inspection = Inspect(flags.directory, options);
  if (!inspection.ok()) return Fail(inspection.status(), 1);
  const auto device = DeviceText(flags.backend);
  if (!device.ok()) return Fail(device.status(), 1);
  if (flags.json) {
    Json report = InspectJson(*inspection);
    report["device"] = *device;
    std::printf("%s\n", DumpJson(report, 2).c_str());
  } else {
    std::printf("%sdevice            %s\n", InspectText(*inspection).c_str(), device->c_str());
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
