// Feeds whole sequences to a decoder in any batches: the tests' stand-in for the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "kernels/backend.h"
#include "model/decoder.h"
#include "tests/support/test_backends.h"

namespace guildhall {

// A back end and a decoder over one folder.
struct LoadedModel {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Decoder> decoder;
};
LoadedModel LoadModel(const std::string& directory, const TestBackend& on, int threads,
                      const WeightFormats& formats = {}, std::optional<KvFormat> kv_format = std::nullopt);
// The same on a back end of the caller's.
LoadedModel LoadModelOn(std::unique_ptr<Backend> backend, const std::string& directory,
                        const WeightFormats& formats = {}, std::optional<KvFormat> kv_format = std::nullopt);

// How many of a sequence's next tokens to feed, given how many are left; 0: none in this step.
using ChunkRule = std::function<int64_t(size_t sequence, int64_t left)>;

// What each sequence is served with, and the tables of the moment; asked anew at each step.
struct Served {
  std::vector<const AdapterSet*> sets;  // (sequences) null: the base; empty: all of them
  std::function<std::shared_ptr<const ExpertTables>()> tables;
};

// Logits (tokens, vocabulary) of every sequence, all of them fed together: each step takes one chunk of each,
// in an order and in KV blocks that `random` chooses.
std::vector<std::vector<float>> FeedTogether(Decoder& decoder,
                                             const std::vector<std::vector<int32_t>>& sequences,
                                             const ChunkRule& rule, std::mt19937& random,
                                             const Served& served = {});

// One sequence in one step, in the first blocks.
std::vector<float> FeedAlone(Decoder& decoder, const std::vector<int32_t>& sequence,
                             const Served& served = {});

}  // namespace guildhall
