#include "model/batch_inputs.h"

#include "base/check.h"

namespace guildhall {

BatchInputs::BatchInputs(int64_t max_rows, int64_t max_outputs) {
  logit_rows_.reserve(static_cast<size_t>(max_outputs));
  hidden_rows_.reserve(static_cast<size_t>(max_outputs));
  sets_.reserve(static_cast<size_t>(max_rows));
}

StepInputs BatchInputs::Of(const Batch& batch) {
  GH_CHECK_LE(batch.sets.size(), sets_.capacity());
  GH_CHECK_LE(batch.outputs.size(), logit_rows_.capacity());
  logit_rows_.clear();
  hidden_rows_.clear();
  for (const OutputRow& output : batch.outputs) {
    (output.kind == OutputRow::Kind::kLogits ? logit_rows_ : hidden_rows_).push_back(output.row);
  }
  sets_.clear();
  for (const AdapterSet* set : batch.sets) sets_.push_back(set->table);
  return {.tokens = batch.tokens,
          .positions = batch.positions,
          .sequence = batch.sequence,
          .kv_place = batch.kv_place,
          .set = batch.set,
          .block_table = batch.block_table,
          .max_blocks = batch.max_blocks,
          .logit_rows = logit_rows_,
          .hidden_rows = hidden_rows_,
          .sets = sets_};
}

}  // namespace guildhall
