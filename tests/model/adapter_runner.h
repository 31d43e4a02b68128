// A base model with the adapters of a golden case, ready to feed.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "adapters/adapter_folder.h"
#include "tests/model/runner.h"
#include "tests/support/golden.h"
#include "weights/weight_manager.h"

namespace guildhall {

struct AdaptedFormats {
  WeightFormats base;
  bool keep = false;  // replaced experts as their files have them
};

struct AdaptedModel {
  // Loads everything and acquires what each sequence names; CHECKs that it works.
  AdaptedModel(const AdapterGolden& golden, const TestBackend& on, int threads,
               const AdaptedFormats& formats = {});
  AdaptedModel(const AdapterGolden& golden, LoadedModel model, const AdaptedFormats& formats = {});

  Served AllServed() const;
  Served ServedAlone(size_t sequence) const;
  // Loads, replaces or unloads something that no sequence holds.
  void Churn(std::mt19937& random, int step);

  const AdapterGolden& golden;
  LoadedModel loaded;
  std::unique_ptr<WeightManager> manager;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::shared_ptr<const AdapterSet>> sets;  // (sequences) null: the base
  std::map<std::string, uint64_t> beside;               // what Churn has loaded
};

}  // namespace guildhall
