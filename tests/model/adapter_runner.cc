#include "tests/model/adapter_runner.h"

#include "base/check.h"

namespace guildhall {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) CheckFailed(__FILE__, __LINE__, value.status().ToString());
  return *std::move(value);
}

}  // namespace

AdaptedModel::AdaptedModel(const AdapterGolden& golden_in, const TestBackend& on, int threads,
                           const AdaptedFormats& formats)
    : AdaptedModel(golden_in, LoadModel(LoadGolden(golden_in.base).directory, on, threads, formats.base),
                   formats) {}

AdaptedModel::AdaptedModel(const AdapterGolden& golden_in, LoadedModel model, const AdaptedFormats& formats)
    : golden(golden_in), loaded(std::move(model)) {
  WeightManagerOptions options;
  options.max_rows = loaded.decoder->max_rows();
  if (!formats.keep) options.formats = formats.base;
  manager = std::make_unique<WeightManager>(
      loaded.decoder->spec(), *loaded.backend, loaded.decoder->base_experts(),
      std::make_shared<ByteBudget>(uint64_t{64} << 20), loaded.decoder->workspace(), options);
  for (const AdapterGolden::Adapter& adapter : golden.adapters) {
    LoadRequest request;
    request.name = adapter.name;
    request.open = [&] { return OpenAdapterFolder(adapter.directory, *loaded.checkpoint); };
    Must(manager->Load(request));
  }
  for (const AdapterGolden::Sequence& sequence : golden.sequences) {
    std::vector<AdapterUse> uses;
    for (const AdapterGolden::Use& use : sequence.adapters) uses.push_back({use.name, use.scale});
    tokens.push_back(sequence.tokens);
    sets.push_back(Must(manager->Acquire(uses, absl::InfiniteFuture())));
  }
}

Served AdaptedModel::AllServed() const {
  Served served;
  for (const auto& set : sets) served.sets.push_back(set.get());
  served.tables = [this] { return manager->Tables(); };
  return served;
}

Served AdaptedModel::ServedAlone(size_t sequence) const {
  Served served = AllServed();
  served.sets = {sets[sequence].get()};
  return served;
}

void AdaptedModel::Churn(std::mt19937& random, int step) {
  const AdapterGolden::Adapter& folder = golden.adapters[random() % golden.adapters.size()];
  const std::string name = "beside-" + std::to_string(random() % 3);
  if (beside.contains(name) && random() % 2 == 0) {
    Must(manager->Unload(name, beside[name], absl::Seconds(10)));
    beside.erase(name);
    return;
  }
  LoadRequest request;
  // Every fourth time it replaces what the sequences themselves are served with: they keep their version.
  request.name = step % 4 == 3 ? golden.adapters.front().name : name;
  request.replace = true;
  request.open = [&] { return OpenAdapterFolder(folder.directory, *loaded.checkpoint); };
  const AdapterInfo info = Must(manager->Load(request));
  if (request.name == name) beside[name] = info.version;
}

}  // namespace guildhall
