// What steps cost, learned from those that were, and so how many prompt rows may join decoding rows.
//
// A step with decoding rows alone takes decode(rows); prompt rows beside them add extra(rows). Both are
// measured means in buckets of rows that grow by powers of two, with straight lines between them: the curves
// of a Mixture-of-Experts model are no lines (each row wakes more experts until all are awake, then
// arithmetic rules).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace guildhall {

// No clock: times come in as numbers. What it says changes when rows are computed, never their results.
// Engine thread only; a value.
class StepCost {
 public:
  // In each step at least so many prompt rows may join, however slow they are: prompts must get on.
  static constexpr int64_t kLeastRows = 16;
  // What kAuto wants of the best rate at which prompts could go.
  static constexpr double kAutoShare = 0.8;
  // kAuto bounds no step that stays within this: shorter ones help no reader, and on small models times are
  // mostly noise.
  static constexpr double kFreeSeconds = 0.010;
  // In so many steps with prompts one tries more rows than the others.
  static constexpr uint64_t kProbeEvery = 64;

  enum class Mode { kUnbounded, kTarget, kAuto };
  struct Options {
    Mode mode = Mode::kUnbounded;
    double target_seconds = 0.0;  // kTarget: of a step with decoding rows
    int64_t max_rows = 512;       // of a step
  };
  explicit StepCost(const Options& options) : options_(options) {}

  // A step that took `seconds`: rows that made tokens (drafts included), and rows of prompts.
  void Observe(int64_t decode_rows, int64_t prompt_rows, double seconds);

  // How many rows may join `decode_rows` others. kTarget: as many as keep the step within the target. kAuto:
  // the fewest with which prompts go at kAutoShare of the best rate, the decoding rows' time included: what
  // decoding waits longer for would gain little; or more, as many as keep it within kFreeSeconds. At most
  // twice of what was ever tried, from kLeastRows on. max_rows where nobody decodes or nothing bounds it.
  int64_t PromptRows(int64_t decode_rows) const;

  // Estimates; 0 where nothing was measured yet.
  double DecodeSeconds(int64_t rows) const;
  double ExtraSeconds(int64_t rows) const;

 private:
  // Means that follow: the last observations weigh most.
  struct Bucket {
    double rows = 0.0;
    double seconds = 0.0;
    int64_t count = 0;

    void Add(double new_rows, double new_seconds);
  };
  static constexpr size_t kBuckets = 18;  // up to 2^17 rows
  using Curve = std::array<Bucket, kBuckets>;

  static size_t BucketOf(int64_t rows);
  struct Place {
    const Bucket* below = nullptr;
    const Bucket* above = nullptr;
  };
  static double At(const Curve& curve, double rows, Place& place);
  const Bucket* Largest() const;
  int64_t RowsForTarget(int64_t decode_rows, double target_seconds) const;
  int64_t RowsForAuto(int64_t decode_rows) const;

  Options options_;
  Curve decode_, extra_;
  uint64_t mixed_steps_ = 0;
};

}  // namespace guildhall
