#include "bench/esft_folder.h"

#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"
#include "checkpoint/weight_names.h"
#include "tools/safetensors_writer.h"
#include "weights/product_layout.h"

namespace guildhall {

absl::Status WriteEsftFolder(const ModelSpec& spec, const AdapterSource& source,
                             const std::string& directory) {
  const Family* family = FindFamily(spec.family);
  GH_CHECK(family != nullptr);
  const WeightNames names(spec, *family, "model.");
  Json experts = Json::object();
  std::vector<WeightKey> keys;
  std::vector<TensorToWrite> tensors;
  for (const ReplacedFfn& ffn : source.manifest().replaced) {
    experts[std::to_string(ffn.layer)].push_back(ffn.expert);
    for (const ExpectedTensor& tensor : names.Expert(ffn.layer, ffn.expert)) {
      const WeightShape shape = ShapeOf(spec, tensor.key);
      tensors.push_back({tensor.name, ffn.gate, {shape.out, shape.in}});
      keys.push_back(tensor.key);
    }
  }
  std::error_code ignored;
  std::filesystem::create_directories(directory, ignored);
  std::ofstream config(directory + "/expert_cfg.json");
  config << DumpJson(Json{{"experts", experts}, {"shared_experts", false}, {"non_expert_modules", false}});
  config.close();
  if (!config) return absl::PermissionDeniedError(StrCat(directory, ": cannot be written"));
  GH_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Open(directory + "/model-00001-of-000001.safetensors", std::move(tensors)));
  AdapterSource::Scratch scratch;
  for (const WeightKey& key : keys) {
    GH_ASSIGN_OR_RETURN(const TensorView view, source.ReadReplaced(key, scratch));
    GH_RETURN_IF_ERROR(writer.Append({view.data, view.Bytes()}));
  }
  return writer.Finish();
}

}  // namespace guildhall
