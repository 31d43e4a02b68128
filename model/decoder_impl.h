// The decoder's inside: what is there for all steps.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/activations.h"
#include "model/batch_inputs.h"
#include "model/decoder.h"
#include "model/kv_cache.h"
#include "model/rope_table.h"
#include "model/step.h"
#include "model/step_adapters.h"
#include "model/weights.h"

namespace guildhall {

struct Decoder::Impl {
  Impl(const ModelSpec& model, Backend& ops, const DecoderOptions& opts, DecoderWeights packed,
       std::shared_ptr<const ExpertTables> tables, Activations activations, RopeTable angles, KvCache cache);

  // forward.cc: one step.
  void Layers(Step& step);
  void Outputs(const StepData& data);
  absl::Status Download(StepOutput& output);

  const ModelSpec spec;
  Backend& backend;
  const DecoderOptions options;
  const StepShape shape;
  const DecoderWeights weights;
  const std::shared_ptr<const ExpertTables> base_tables;
  const std::shared_ptr<StepWorkspace> workspace;
  Activations act;
  RopeTable rope;
  KvCache kv;
  StepAdapters adapters;
  BatchInputs inputs;

  // Of the step that runs.
  absl::Status failure;
  int64_t logits = 0, hiddens = 0, rows = 0;
  bool observe_routes = false;
  // Host copies of what a step leaves; on a device that the host reads they are the activations themselves.
  HostTwin logits_twin, hidden_twin, routes_twin;
  std::vector<StepOutput::Routes> routes;
};

}  // namespace guildhall
