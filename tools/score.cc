#include "tools/score.h"

#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/str_cat.h"
#include "engine/logprobs.h"
#include "engine/token_stream.h"

namespace guildhall {
namespace {

// One sequence on its way. Written by the engine thread until its end has come, read afterwards.
struct Job {
  std::shared_ptr<Request> request;
  ScoreResult result;
  absl::Status row_status;
  bool collected = false;
};

void AddRow(Job& job, size_t index, int32_t position, std::span<const float> logits,
            const LogitRowFunction& on_row) {
  if (!job.row_status.ok()) return;
  const auto next = static_cast<size_t>(position) + 1;
  if (next < job.request->prompt.size()) {
    const auto token = static_cast<size_t>(job.request->prompt[next]);
    job.result.logprobs.push_back(static_cast<float>(static_cast<double>(logits[token]) - LogSumExp(logits)));
  }
  if (!on_row) return;
  job.row_status = on_row(index, position, logits);
  if (!job.row_status.ok()) job.request->stream->Cancel(FinishReason::kCancelled);
}

// Waits for the end.
absl::Status Collect(Job& job, size_t index) {
  job.collected = true;
  RequestEnd end;
  while (std::optional<TokenStream::Event> event = job.request->stream->Pop(absl::InfiniteFuture())) {
    if (auto* last = std::get_if<RequestEnd>(&*event)) end = std::move(*last);
  }
  const absl::Status& status = job.row_status.ok() ? end.status : job.row_status;
  if (!status.ok()) return absl::Status(status.code(), StrCat("sequence ", index, ": ", status.message()));
  double sum = 0.0;
  for (const float logprob : job.result.logprobs) sum += static_cast<double>(logprob);
  const size_t count = job.result.logprobs.size();
  job.result.perplexity =
      count == 0 ? std::numeric_limits<double>::quiet_NaN() : std::exp(-sum / static_cast<double>(count));
  return absl::OkStatus();
}

// Submits; while the queue is full, waits for sequences that are ahead.
absl::Status SubmitOne(Engine& engine, std::vector<std::unique_ptr<Job>>& jobs, size_t index,
                       size_t& oldest) {
  while (true) {
    const absl::Status status = engine.Submit(jobs[index]->request);
    if (status.ok()) return status;
    if (status.code() != absl::StatusCode::kResourceExhausted || oldest == index) {
      return absl::Status(status.code(), StrCat("sequence ", index, ": ", status.message()));
    }
    if (absl::Status ahead = Collect(*jobs[oldest], oldest); !ahead.ok()) return ahead;
    ++oldest;
  }
}

}  // namespace

absl::StatusOr<std::vector<ScoreResult>> Score(Engine& engine, std::span<const ScoreSequence> sequences,
                                               const LogitRowFunction& on_row) {
  std::vector<std::unique_ptr<Job>> jobs;
  absl::Status status;
  size_t submitted = 0;
  size_t oldest = 0;  // the first that was not collected
  for (size_t i = 0; i < sequences.size() && status.ok(); ++i) {
    jobs.push_back(std::make_unique<Job>());
    Job& job = *jobs.back();
    job.request = std::make_shared<Request>();
    job.request->id = i;
    job.request->prompt = sequences[i].tokens;
    job.request->adapters = sequences[i].adapters;
    job.request->sampling.max_tokens = 0;
    job.request->stream = std::make_shared<TokenStream>(1);
    job.request->on_prompt_logits = [&job, i, &on_row](int32_t position, std::span<const float> logits) {
      AddRow(job, i, position, logits, on_row);
    };
    status = SubmitOne(engine, jobs, i, oldest);
    if (status.ok()) submitted = i + 1;
  }
  // The callbacks point into this frame: every request that went in is waited for, whatever happened.
  for (size_t i = oldest; i < submitted; ++i) {
    if (!status.ok()) jobs[i]->request->stream->Cancel(FinishReason::kCancelled);
    if (jobs[i]->collected) continue;
    const absl::Status end = Collect(*jobs[i], i);
    if (status.ok()) status = end;
  }
  if (!status.ok()) return status;
  std::vector<ScoreResult> results;
  for (const auto& job : jobs) results.push_back(std::move(job->result));
  return results;
}

}  // namespace guildhall
