#include "adapters/adapter_folder.h"

#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/esft.h"
#include "adapters/peft.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::string_view kPeftConfig = "adapter_config.json", kEsftConfig = "expert_cfg.json";

// No adapter, with what the folder holds instead and what to do with it.
absl::Status Nothing(const AdapterFiles& files) {
  std::string hint;
  for (const std::string& name : files.names()) {
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") ||
        name.ends_with(".gguf")) {
      hint = StrCat(" (but ", Quote(name), "): save the adapter as safetensors");
      break;
    }
  }
  return absl::FailedPreconditionError(StrCat(files.directory(), ": expected ", kPeftConfig,
                                              " (PEFT) or .safetensors files of tuned experts (ESFT), "
                                              "found neither",
                                              hint));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterSource>> OpenAdapterFolder(const std::string& directory,
                                                                 const WeightSource& base,
                                                                 const AdapterFolderOptions& options) {
  GH_ASSIGN_OR_RETURN(auto files, AdapterFiles::List(directory));
  const bool peft = files->Has(kPeftConfig);
  const bool esft = files->Has(kEsftConfig) || !options.expert_config.empty();
  if (peft && esft) {
    return absl::FailedPreconditionError(
        StrCat(directory, ": expected one kind of adapter, found ", kPeftConfig, " (PEFT) and ",
               options.expert_config.empty() ? kEsftConfig : std::string_view("an expert configuration"),
               " (ESFT): give each a folder of its own"));
  }
  if (peft) return OpenPeft(std::move(files), base, options);
  if (files->TensorFileNames().empty()) return Nothing(*files);
  return OpenEsft(std::move(files), base, options);
}

}  // namespace guildhall
