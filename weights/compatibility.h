// Whether adapters may serve a request together: the one rule, over what their manifests say.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/weight_key.h"
#include "weights/adapter_source.h"

namespace guildhall {

// What an adapter changes, as far as it decides by which factor and beside whom it may serve.
struct AdapterChanges {
  struct Place {
    int layer = 0;
    int expert = -1;  // logical expert; -1: the layer's shared experts

    auto operator<=>(const Place&) const = default;
  };
  struct Module {
    WeightKey key;      // the base weight that gets a low-rank change
    bool dora = false;  // which scales the weight itself too
  };
  std::vector<Place> replaced;  // ascending
  std::vector<Module> modules;  // by key

  bool dora() const;  // of any module
};

AdapterChanges ChangesOf(const AdapterManifest& manifest);

// One adapter of a task or request.
struct ChosenAdapter {
  std::string name;
  float scale = 1.0f;
  const AdapterChanges* changes = nullptr;  // never null
};

// Why a choice cannot serve.
struct Clash {
  std::string reason;   // names the adapter or the two, and the part
  std::string advice;   // for who chose, from its punctuation on; may be empty
  bool factor = false;  // the factor of one adapter is the cause, not the company of another
};

// The first clash: an adapter that is named twice; a factor that is not finite, or other than 1 for what
// replaces experts or is DoRA; two that replace the same experts; DoRA beside another change of the same
// module or a replacement of the same expert (it scales the base's weight, and no order of the two is
// defined). Nothing: they may serve together.
std::optional<Clash> FindClash(std::span<const ChosenAdapter> adapters);

// The same as a status: INVALID_ARGUMENT.
absl::Status CheckTogether(std::span<const ChosenAdapter> adapters);

}  // namespace guildhall
