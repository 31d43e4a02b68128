#include "engine/step_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace guildhall {
namespace {

constexpr double kWeight = 0.2;            // of a new observation
constexpr double kMostJump = 4.0;          // an observation counts as at most so many times the mean
constexpr int64_t kTries = 4;              // with the most rows so far, before more are tried no more
constexpr double kLeastExtraShare = 0.02;  // of a step: no prompt row is free, whatever noise says

}  // namespace

// The first observations are averaged; a page fault or a neighbour's burst does not count in full.
void StepCost::Bucket::Add(double new_rows, double new_seconds) {
  ++count;
  const double weight = std::max(kWeight, 1.0 / static_cast<double>(count));
  if (count > 3) new_seconds = std::min(new_seconds, kMostJump * seconds);
  rows += weight * (new_rows - rows);
  seconds += weight * (new_seconds - seconds);
}

size_t StepCost::BucketOf(int64_t rows) {
  const auto width = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(rows - 1)));
  return std::min(width, kBuckets - 1);
}

void StepCost::Observe(int64_t decode_rows, int64_t prompt_rows, double seconds) {
  if (decode_rows <= 0 || !(seconds > 0.0)) return;
  if (prompt_rows <= 0) {
    decode_[BucketOf(decode_rows)].Add(static_cast<double>(decode_rows), seconds);
    return;
  }
  ++mixed_steps_;
  const double extra = std::max(seconds - DecodeSeconds(decode_rows), kLeastExtraShare * seconds);
  extra_[BucketOf(prompt_rows)].Add(static_cast<double>(prompt_rows), extra);
}

// Lines between the buckets' means, never falling; as the nearest outside of what was measured.
double StepCost::At(const Curve& curve, double rows, Place& place) {
  double seconds_below = 0.0;
  for (const Bucket& bucket : curve) {
    if (bucket.count == 0) continue;
    const double seconds = std::max(bucket.seconds, seconds_below);
    if (rows <= bucket.rows) {
      place.above = &bucket;
      if (place.below == nullptr) return seconds;
      const double share = (rows - place.below->rows) / std::max(bucket.rows - place.below->rows, 1e-9);
      return seconds_below + share * (seconds - seconds_below);
    }
    place.below = &bucket;
    seconds_below = seconds;
  }
  return seconds_below;
}

// Outside of what was measured rather too little: what is missing here counts as the prompts', and is
// corrected with their next step.
double StepCost::DecodeSeconds(int64_t rows) const {
  Place place;
  const double seconds = At(decode_, static_cast<double>(rows), place);
  if (place.below != nullptr || place.above == nullptr) return seconds;
  return seconds * std::min(1.0, static_cast<double>(rows) / place.above->rows);
}

// Behind the last rather too much: a model's rows become cheaper together, never dearer.
double StepCost::ExtraSeconds(int64_t rows) const {
  Place place;
  const double seconds = At(extra_, static_cast<double>(rows), place);
  if (place.above != nullptr || place.below == nullptr) return seconds;
  return seconds * static_cast<double>(rows) / place.below->rows;
}

const StepCost::Bucket* StepCost::Largest() const {
  const auto at = std::find_if(extra_.rbegin(), extra_.rend(), [](const Bucket& b) { return b.count > 0; });
  return at == extra_.rend() ? nullptr : &*at;
}

int64_t StepCost::PromptRows(int64_t decode_rows) const {
  if (options_.mode == Mode::kUnbounded || decode_rows <= 0) return options_.max_rows;
  const Bucket* const largest = Largest();
  const int64_t tried = largest == nullptr ? 0 : static_cast<int64_t>(std::llround(largest->rows));
  const int64_t wanted = options_.mode == Mode::kTarget
                             ? RowsForTarget(decode_rows, options_.target_seconds)
                             : std::max(RowsForTarget(decode_rows, kFreeSeconds), RowsForAuto(decode_rows));
  const int64_t most = std::min(options_.max_rows, std::max(2 * tried, 2 * kLeastRows));
  return std::clamp(wanted, std::min(kLeastRows, options_.max_rows), most);
}

// The largest number whose estimate fits: the estimate never falls, so halving finds it.
int64_t StepCost::RowsForTarget(int64_t decode_rows, double target_seconds) const {
  const double allowed = target_seconds - DecodeSeconds(decode_rows);
  int64_t fits = 0;
  int64_t too_many = options_.max_rows + 1;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (ExtraSeconds(middle) <= allowed ? fits : too_many) = middle;
  }
  return fits;
}

int64_t StepCost::RowsForAuto(int64_t decode_rows) const {
  const Bucket* const largest = Largest();
  if (largest == nullptr) return kLeastRows;
  const double decode = DecodeSeconds(decode_rows);
  const auto rate = [&](const Bucket& bucket) { return bucket.rows / (decode + bucket.seconds); };
  double best = 0.0;
  for (const Bucket& bucket : extra_) best = std::max(best, bucket.count == 0 ? 0.0 : rate(bucket));
  // As long as more rows at a time go faster, more are tried.
  if (rate(*largest) >= best && largest->count < kTries) return options_.max_rows;
  const auto enough = std::find_if(extra_.begin(), extra_.end(), [&](const Bucket& bucket) {
    return bucket.count > 0 && rate(bucket) >= kAutoShare * best;
  });
  const int64_t rows = std::llround(enough->rows);
  return mixed_steps_ % kProbeEvery == 0 ? 2 * rows : rows;
}

}  // namespace guildhall
