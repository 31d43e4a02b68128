// The tensors of an ESFT folder meet the names of the base's experts: each is used, or named in a problem.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/esft_config.h"
#include "checkpoint/families/family.h"
#include "checkpoint/problems.h"
#include "checkpoint/weight_names.h"

namespace guildhall {

using EsftTensors = std::map<WeightKey, const AdapterTensor*>;

// One use. Everything that it is given outlives it.
class EsftBinder {
 public:
  EsftBinder(const ModelSpec& spec, const Family& family, const AdapterFiles& files)
      : spec_(spec), files_(files), names_(spec, family, ""), moe_(family.names.moe) {}

  // What each tensor is; complete networks with their shapes when there are no problems.
  EsftTensors Run();
  // After Run: what the configuration lists must be what the folder holds. `what`: its file.
  void CheckConfig(const EsftConfig& config, const std::string& what);

  // What the tensors change: experts by layer, and whether there are shared ones.
  const EsftConfig& found() const { return found_; }
  int shared_layers() const { return shared_layers_; }
  const Problems& problems() const { return problems_; }

 private:
  void Bind(std::string_view name, const AdapterTensor& tensor);
  // The tensor of an expert or of shared experts that `name` (without "model.") stands for.
  std::optional<ExpectedTensor> Expect(std::string_view name) const;
  std::optional<ExpectedTensor> ExpectShared(int layer, std::string_view name) const;
  // Why `name` (without "model.") is no expert's.
  std::string Reason(std::string_view name) const;
  bool IsOutsideExperts(std::string_view name, int layer) const;
  void CheckComplete();
  template <typename List>
  void CheckParts(const List& parts);
  bool Full() const { return problems_.list().size() >= 100; }

  const ModelSpec& spec_;
  const AdapterFiles& files_;
  const WeightNames names_;
  const std::string moe_;
  Problems problems_;
  EsftTensors bound_;
  EsftConfig found_;
  int shared_layers_ = 0;
};

}  // namespace guildhall
