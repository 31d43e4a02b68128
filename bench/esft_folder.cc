#include "bench/esft_folder.h"

#include <array>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"
#include "checkpoint/weight_names.h"
#include "weights/product_layout.h"

namespace guildhall {

absl::Status WriteEsftFolder(const ModelSpec& spec, const AdapterSource& source,
                             const std::string& directory) {
  const Family* family = FindFamily(spec.family);
  GH_CHECK(family != nullptr);
  const WeightNames names(spec, *family, "model.");
  Json experts = Json::object(), header = Json::object();
  std::vector<WeightKey> keys;
  size_t offset = 0;
  for (const ReplacedFfn& ffn : source.manifest().replaced) {
    experts[std::to_string(ffn.layer)].push_back(ffn.expert);
    for (const ExpectedTensor& tensor : names.Expert(ffn.layer, ffn.expert)) {
      const WeightShape shape = ShapeOf(spec, tensor.key);
      const size_t bytes = static_cast<size_t>(shape.out * shape.in) * DTypeSize(ffn.gate);
      header[tensor.name] = {{"dtype", DTypeName(ffn.gate)},
                             {"shape", {shape.out, shape.in}},
                             {"data_offsets", {offset, offset + bytes}}};
      offset += bytes;
      keys.push_back(tensor.key);
    }
  }
  std::error_code ignored;
  std::filesystem::create_directories(directory, ignored);
  std::ofstream(directory + "/expert_cfg.json")
      << DumpJson(Json{{"experts", experts}, {"shared_experts", false}, {"non_expert_modules", false}});
  const std::string text = DumpJson(header);
  const uint64_t length = text.size();
  std::ofstream file(directory + "/model-00001-of-000001.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  AdapterSource::Scratch scratch;
  for (const WeightKey& key : keys) {
    GH_ASSIGN_OR_RETURN(const TensorView view, source.ReadReplaced(key, scratch));
    file.write(reinterpret_cast<const char*>(view.data), static_cast<std::streamsize>(view.Bytes()));
  }
  file.close();
  if (!file) return absl::PermissionDeniedError(StrCat(directory, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace guildhall
