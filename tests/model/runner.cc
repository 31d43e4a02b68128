#include "tests/model/runner.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace guildhall {
namespace {

constexpr int64_t kMaxRows = 192;
constexpr int64_t kBlocks = 96;

// The arrays of one step.
struct StepArrays {
  std::vector<int32_t> tokens, positions, sequence, set;
  std::vector<OutputRow> outputs;
  std::vector<int64_t> kv_place;
  std::vector<const AdapterSet*> sets;

  int32_t IndexOf(const AdapterSet* wanted) {
    if (wanted == nullptr) return -1;
    const auto found = std::find(sets.begin(), sets.end(), wanted);
    if (found != sets.end()) return static_cast<int32_t>(found - sets.begin());
    sets.push_back(wanted);
    return static_cast<int32_t>(sets.size()) - 1;
  }
};

struct Progress {
  int64_t fed = 0;
  std::vector<int32_t> blocks;
};

void AddChunk(StepArrays& step, const std::vector<int32_t>& tokens, const Progress& progress,
              int32_t row_of_table, int64_t count, const AdapterSet* set) {
  const int32_t index = step.IndexOf(set);
  for (int64_t i = progress.fed; i < progress.fed + count; ++i) {
    step.outputs.push_back({.row = static_cast<int32_t>(step.tokens.size())});
    step.tokens.push_back(tokens[static_cast<size_t>(i)]);
    step.positions.push_back(static_cast<int32_t>(i));
    step.sequence.push_back(row_of_table);
    step.set.push_back(index);
    const int64_t block = progress.blocks[static_cast<size_t>(i / kKvBlockTokens)];
    step.kv_place.push_back(block * kKvBlockTokens + i % kKvBlockTokens);
  }
}

}  // namespace

LoadedModel LoadModel(const std::string& directory, const TestBackend& on, int threads,
                      const WeightFormats& formats, std::optional<KvFormat> kv_format) {
  return LoadModelOn(on.make(threads), directory, formats, kv_format);
}

LoadedModel LoadModelOn(std::unique_ptr<Backend> backend, const std::string& directory,
                        const WeightFormats& formats, std::optional<KvFormat> kv_format) {
  auto checkpoint = Checkpoint::Open(directory);
  if (!checkpoint.ok()) CheckFailed(__FILE__, __LINE__, checkpoint.status().ToString());
  LoadedModel model;
  model.backend = std::move(backend);
  DecoderOptions decoder_options;
  decoder_options.max_rows = decoder_options.max_outputs = kMaxRows;
  decoder_options.kv_blocks = kBlocks;
  decoder_options.formats = formats;
  decoder_options.kv_format = kv_format;
  auto decoder = Decoder::Load(**checkpoint, *model.backend, decoder_options);
  if (!decoder.ok()) CheckFailed(__FILE__, __LINE__, decoder.status().ToString());
  model.decoder = *std::move(decoder);
  model.checkpoint = *std::move(checkpoint);
  return model;
}

std::vector<std::vector<float>> FeedTogether(Decoder& decoder,
                                             const std::vector<std::vector<int32_t>>& sequences,
                                             const ChunkRule& rule, std::mt19937& random,
                                             const Served& served) {
  const size_t vocabulary = static_cast<size_t>(decoder.vocabulary());
  std::vector<int32_t> blocks(static_cast<size_t>(kBlocks));
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), random);
  std::vector<Progress> progress(sequences.size());
  int64_t max_blocks = 1;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t i = 0; i < sequences[s].size(); i += kKvBlockTokens) {
      GH_CHECK(!blocks.empty());
      progress[s].blocks.push_back(blocks.back());
      blocks.pop_back();
    }
    max_blocks = std::max(max_blocks, static_cast<int64_t>(progress[s].blocks.size()));
  }
  std::vector<std::vector<float>> logits(sequences.size());
  std::vector<size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  for (;;) {
    std::shuffle(order.begin(), order.end(), random);
    if (!served.sets.empty()) {
      // Rows of a set must be neighbours.
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return served.sets[a] < served.sets[b]; });
    }
    StepArrays step;
    std::vector<int32_t> table;
    std::vector<std::pair<size_t, int64_t>> taken;
    bool left_over = false;
    for (size_t s : order) {
      const int64_t left = static_cast<int64_t>(sequences[s].size()) - progress[s].fed;
      left_over |= left > 0;
      const int64_t room = kMaxRows - static_cast<int64_t>(step.tokens.size());
      const int64_t count = std::min({left, room, left > 0 ? rule(s, left) : 0});
      if (count <= 0) continue;
      AddChunk(step, sequences[s], progress[s], static_cast<int32_t>(taken.size()), count,
               served.sets.empty() ? nullptr : served.sets[s]);
      std::vector<int32_t> row = progress[s].blocks;
      row.resize(static_cast<size_t>(max_blocks), -1);
      table.insert(table.end(), row.begin(), row.end());
      taken.emplace_back(s, count);
    }
    if (!left_over) return logits;
    if (taken.empty()) continue;
    Batch batch{step.tokens, step.positions, step.sequence, step.kv_place,
                step.set,    table,          max_blocks,    step.outputs};
    batch.sets = step.sets;
    std::shared_ptr<const ExpertTables> tables;
    if (!step.sets.empty()) tables = served.tables();
    batch.tables = tables.get();
    const auto out = RunStep(decoder, batch);
    GH_CHECK(out.ok());
    const float* row = out->logits.data();
    for (const auto& [s, count] : taken) {
      logits[s].insert(logits[s].end(), row, row + static_cast<size_t>(count) * vocabulary);
      row += static_cast<size_t>(count) * vocabulary;
      progress[s].fed += count;
    }
  }
}

std::vector<float> FeedAlone(Decoder& decoder, const std::vector<int32_t>& sequence, const Served& served) {
  std::mt19937 random(1);
  return FeedTogether(
             decoder, {sequence}, [](size_t, int64_t left) { return left; }, random, served)
      .front();
}

}  // namespace guildhall
