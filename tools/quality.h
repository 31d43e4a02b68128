// How far a model's predictions move when its weights are kept in another format.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace guildhall {

// Which positions of a sequence count: those that predict tokens [begin, tokens.size()).
struct QualityExample {
  std::vector<int32_t> tokens;
  size_t begin = 1;   // the first predicted token; at least 1
  std::string group;  // one line of the report: a task
};

// Of the positions of one group.
struct QualityFigures {
  int64_t examples = 0, positions = 0;
  double perplexity = 0.0;  // of the expected tokens
  double divergence = 0.0;  // mean KL(reference || this) in nats; 0 for the reference itself
  double worst = 0.0;       // the largest divergence of one position
  double agreement = 0.0;   // share of positions with the reference's most likely token
  double accuracy = 0.0;  // share of examples whose every expected token is the most likely one: what greedy
                          // decoding would answer to the letter
};

// Collects the logits of one model over the examples; a second meter compares itself with the first. Memory:
// one float per position and token of the vocabulary. One thread.
class QualityMeter {
 public:
  // `examples` and `reference` (null: this one is the reference) outlive the meter.
  QualityMeter(std::span<const QualityExample> examples, const QualityMeter* reference);

  // The logits that follow token `position` of an example; once for each position, in any order.
  void Add(size_t example, int32_t position, std::span<const float> logits);

  // By group, and of all under the name "". CHECK: all positions have been added.
  std::map<std::string, QualityFigures> Figures() const;

 private:
  struct Position {
    std::vector<float> logprobs;  // (vocabulary); kept by a reference only
    double expected = 0.0;        // log-probability of the expected token
    double divergence = 0.0;
    int32_t best = -1;  // the lowest of the most likely tokens; -1: not added yet
  };

  std::span<const QualityExample> examples_;
  const QualityMeter* reference_;
  std::vector<std::vector<Position>> positions_;  // (examples, predicted tokens)
};

}  // namespace guildhall
